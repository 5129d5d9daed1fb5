// Tokens of alice, as an identity provider that shares a secret with the gateway would sign them.
import { createHmac } from 'node:crypto';

const encode = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');

function sign(secret, exp) {
  const claims = { sub: 'alice', teams: ['demo'], exp };
  const signed = `${encode({ alg: 'HS256', typ: 'JWT' })}.${encode(claims)}`;
  return `${signed}.${createHmac('sha256', secret).update(signed).digest('base64url')}`;
}

// What an app keeps: a token, and how to get a new one. The first lives for as many seconds as are said.
export class Session {
  #secret;
  #token;
  #exp;
  refreshes = 0;

  constructor(secret, lifetime) {
    this.#secret = secret;
    this.#renew(lifetime);
  }

  get authorization() {
    return `Bearer ${this.#token}`;
  }

  refresh() {
    this.refreshes += 1;
    this.#renew(600);
  }

  // For clients that ask for a token at each connection: the first gets the one there is, good or not.
  supplier() {
    let isFirst = true;
    return () => {
      if (!isFirst && this.#exp * 1000 <= Date.now()) this.refresh();
      isFirst = false;
      return this.authorization;
    };
  }

  #renew(lifetime) {
    this.#exp = Math.floor(Date.now() / 1000) + lifetime;
    this.#token = sign(this.#secret, this.#exp);
  }
}
