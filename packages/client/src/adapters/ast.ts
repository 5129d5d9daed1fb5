/**
 * The parts of a parsed GraphQL document that the adapters read, as graphql-js and its smaller siblings make them.
 */

interface Name {
  readonly value: string;
}

export type DefinitionNode = OperationNode | FragmentNode;

export interface OperationNode {
  readonly kind: "OperationDefinition";
  readonly operation: "query" | "mutation" | "subscription";
  readonly name?: Name;
  readonly variableDefinitions?: readonly {
    readonly variable: { readonly name: Name };
    readonly defaultValue?: ValueNode;
  }[];
  readonly selectionSet: SelectionSetNode;
}

export interface FragmentNode {
  readonly kind: "FragmentDefinition";
  readonly name: Name;
  readonly typeCondition: { readonly name: Name };
  readonly selectionSet: SelectionSetNode;
}

export interface SelectionSetNode {
  readonly selections: readonly SelectionNode[];
}

type SelectionNode = FieldNode | SpreadNode | InlineNode;

export interface FieldNode {
  readonly kind: "Field";
  readonly alias?: Name;
  readonly name: Name;
  readonly arguments?: readonly ArgumentNode[];
  readonly directives?: readonly DirectiveNode[];
  readonly selectionSet?: SelectionSetNode;
}

interface SpreadNode {
  readonly kind: "FragmentSpread";
  readonly name: Name;
  readonly directives?: readonly DirectiveNode[];
}

interface InlineNode {
  readonly kind: "InlineFragment";
  readonly typeCondition?: { readonly name: Name };
  readonly directives?: readonly DirectiveNode[];
  readonly selectionSet: SelectionSetNode;
}

interface ArgumentNode {
  readonly name: Name;
  readonly value: ValueNode;
}

export interface DirectiveNode {
  readonly name: Name;
  readonly arguments?: readonly ArgumentNode[];
}

export type ValueNode =
  | { readonly kind: "Variable"; readonly name: Name }
  | { readonly kind: "NullValue" }
  | { readonly kind: "ListValue"; readonly values: readonly ValueNode[] }
  | { readonly kind: "ObjectValue"; readonly fields: readonly ArgumentNode[] }
  | { readonly kind: "IntValue" | "FloatValue" | "StringValue" | "EnumValue"; readonly value: string }
  | { readonly kind: "BooleanValue"; readonly value: boolean };
