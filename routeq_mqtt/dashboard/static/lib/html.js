// Preact and htm in one place. Everything a template is given is text, never markup.
import { createElement, render } from "../vendor/preact.js";
import { useEffect, useMemo, useRef, useState } from "../vendor/hooks.js";
import htm from "../vendor/htm.js";


// Invisible characters, and those that turn the text around them: written out, so that a name is what
// it looks like. Newlines and tabs stay.
const UNSEEN = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff]|[\u{e0000}-\u{e007f}]/gu;
const code = (one) => `\\u${one.codePointAt(0).toString(16).padStart(4, "0")}`;
export const visible = (value) => (typeof value === "string" ? value.replace(UNSEEN, code) : Array.isArray(value) ? value.map(visible) : value);

function element(type, props, ...children) {
  if (props && typeof props.title === "string") props.title = visible(props.title);
  return createElement(type, props, ...children.map(visible));
}

export const html = htm.bind(element);
export { render, useEffect, useMemo, useRef, useState };
