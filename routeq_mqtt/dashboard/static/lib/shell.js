// Words of a command that somebody pastes into a shell. A producer chose them.
const control = /[\u0000-\u001f\u007f-\u009f]/g; // these would act on the terminal
const escape = (one) => `\\u${one.charCodeAt(0).toString(16).padStart(4, "0")}`;
const quoted = (word) => (word.search(control) < 0 ? `'${word.replaceAll("'", "'\\''")}'` : `$'${word.replace(/[\\']/g, "\\$&").replace(control, escape)}'`);
const plain = /^[\w@.,:/+-]+$/;

export const word = (text) => (plain.test(text) ? text : quoted(text));
