// Preact and htm in one place. Everything a template is given is text, never markup.
import { createElement, render } from "../vendor/preact.js";
import { useEffect, useMemo, useRef, useState } from "../vendor/hooks.js";
import htm from "../vendor/htm.js";

export const html = htm.bind(createElement);
export { render, useEffect, useMemo, useRef, useState };
