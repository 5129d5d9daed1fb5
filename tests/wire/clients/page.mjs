// `fetch` as a browser carries it out for a page of another origin (CORS in the Fetch Standard): a request with a header that
// is not safelisted is preceded by a preflight, which has to allow its method and headers. The trace headers are those that
// Sentry and OpenTelemetry put into every request.
const SAFELISTED = new Set(['accept', 'accept-language', 'content-language']);
const SAFELISTED_TYPES = ['application/x-www-form-urlencoded', 'multipart/form-data', 'text/plain'];
const TRACED = {
  traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',
  'sentry-trace': '0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-1',
  baggage: 'sentry-release=1.2.3',
};

const isSafelisted = ([name, value]) =>
  SAFELISTED.has(name) || (name === 'content-type' && SAFELISTED_TYPES.includes(value.split(';')[0]));

const list = (response, name) => (response.headers.get(name) ?? '').split(',').map((item) => item.trim().toLowerCase());

function requireOrigin(response, origin) {
  if (response.headers.get('access-control-allow-origin') !== origin) throw new TypeError(`blocked: not ${origin}`);
}

async function preflight(url, origin, method, names) {
  const headers = { origin, 'access-control-request-method': method, 'access-control-request-headers': names.join(',') };
  const response = await fetch(url, { method: 'OPTIONS', headers });
  if (!response.ok) throw new TypeError(`blocked: the preflight is answered ${response.status}`);
  requireOrigin(response, origin);
  const allowed = list(response, 'access-control-allow-headers');
  const refused = names.filter((name) => !allowed.includes(name));
  if (refused.length > 0) throw new TypeError(`blocked: ${refused} is not allowed by Access-Control-Allow-Headers`);
}

export const fromPage =
  (origin, send = fetch) =>
  async (input, init = {}) => {
    const headers = new Headers({ ...init.headers, ...TRACED });
    const names = [...headers].filter((header) => !isSafelisted(header)).map(([name]) => name);
    await preflight(input, origin, init.method ?? 'GET', names.sort());
    headers.set('origin', origin);
    const response = await send(input, { ...init, headers });
    requireOrigin(response, origin);
    return response;
  };
