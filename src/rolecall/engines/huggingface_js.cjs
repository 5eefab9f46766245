// Runs chat templates with @huggingface/jinja: a line of JSON in, a line of JSON out.
"use strict";

const path = require("node:path");
const readline = require("node:readline");

const NAME = "@huggingface/jinja";

function folders() {
  const named = process.env.ROLECALL_HUGGINGFACE_JINJA;
  if (named) return [path.resolve(named)];
  const beside = path.resolve(process.execPath, "..", "..", "lib", "node_modules");
  const windows = path.resolve(process.execPath, "..", "node_modules");
  const found = [beside, windows, "/usr/local/lib/node_modules", "/usr/lib/node_modules"];
  if (process.env.NODE_PATH) found.unshift(...process.env.NODE_PATH.split(path.delimiter));
  if (process.env.APPDATA) found.push(path.join(process.env.APPDATA, "npm", "node_modules"));
  return found.filter((folder) => path.isAbsolute(folder)).map((folder) => path.join(folder, NAME));
}

function load() {
  for (const folder of folders()) {
    try {
      const about = require(path.join(folder, "package.json"));
      if (about.name === NAME) return { version: about.version, Template: require(folder).Template };
    } catch {
      // Not there.
    }
  }
  return null;
}

// The engine asks for the time by `new Date()` and cannot be told it.
const RealDate = Date;
let fixed = RealDate.now();
globalThis.Date = class extends RealDate {
  constructor(...given) {
    super(...(given.length ? given : [fixed]));
  }
  static now() {
    return fixed;
  }
};

const engine = load();

function answer(question) {
  if (!engine) return { absent: true };
  if (question.version) return { version: engine.version };
  fixed = question.now;
  let template;
  try {
    template = new engine.Template(question.jinja);
  } catch (error) {
    const failed = { error: String(error && error.message), parsed: false };
    return { answers: question.variables.map(() => failed) };
  }
  return {
    answers: question.variables.map((variables) => {
      try {
        return { text: template.render(variables) };
      } catch (error) {
        return { error: String(error && error.message), parsed: true };
      }
    }),
  };
}

readline.createInterface({ input: process.stdin }).on("line", (line) => {
  process.stdout.write(JSON.stringify(answer(JSON.parse(line))) + "\n");
});
