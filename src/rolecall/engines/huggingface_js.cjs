// Runs chat templates with @huggingface/jinja, whose folder is the argument: a line of JSON in, a
// line of JSON out.
"use strict";

const readline = require("node:readline");

const { Template } = require(process.argv[2]);

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

function answer(question) {
  fixed = question.now;
  let template;
  try {
    template = new Template(question.jinja);
  } catch (error) {
    const failed = { error: String(error && error.message), parsed: false };
    return question.variables.map(() => failed);
  }
  return question.variables.map((variables) => {
    try {
      return { text: template.render(variables) };
    } catch (error) {
      return { error: String(error && error.message), parsed: true };
    }
  });
}

readline.createInterface({ input: process.stdin }).on("line", (line) => {
  process.stdout.write(JSON.stringify(answer(JSON.parse(line))) + "\n");
});
