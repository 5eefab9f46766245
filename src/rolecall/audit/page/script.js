"use strict";
// Everything is readable without this script: it sorts, filters and folds.
document.documentElement.classList.add("scripted");

const templates = [...document.querySelectorAll("details.template")];
const rows = [...document.querySelectorAll(".board tbody tr")];

function reveal() {
  const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (!target) return;
  for (let at = target; at; at = at.parentElement) {
    if (at.tagName === "DETAILS") at.open = true;
  }
  target.scrollIntoView();
}

if (templates.length > 1) {
  for (const template of templates) template.open = false;
}
addEventListener("hashchange", reveal);
reveal();

// A link to where the page is already gives no event of its own.
document.addEventListener("click", (event) => {
  const link = event.target.closest('a[href^="#"]');
  if (link && link.getAttribute("href") === location.hash) {
    event.preventDefault();
    reveal();
  }
});

function filter(id, apply) {
  const field = document.getElementById(id);
  if (!field) return;
  const run = () => apply(field.value.trim().toLowerCase());
  field.addEventListener("input", run);
  run();
}

filter("find-template", (wanted) => {
  for (const item of [...rows, ...templates]) {
    item.hidden = !item.dataset.name.toLowerCase().includes(wanted);
  }
});

filter("find-rule", (wanted) => {
  for (const cell of document.querySelectorAll(".board [data-rule]")) {
    cell.hidden = !cell.dataset.rule.includes(wanted);
  }
  for (const finding of document.querySelectorAll(".finding, details.page")) {
    finding.hidden = !finding.dataset.rule.includes(wanted);
  }
});

for (const button of document.querySelectorAll(".sort")) {
  button.addEventListener("click", () => {
    const head = button.closest("th");
    const column = [...head.parentElement.children].indexOf(head);
    const downwards = head.getAttribute("aria-sort") !== "descending";
    const value = (row) => Number(row.children[column].dataset.value || 0);
    const sorted = [...rows].sort((one, other) => {
      const difference =
        column === 0
          ? one.dataset.name.localeCompare(other.dataset.name)
          : value(other) - value(one);
      return downwards ? difference : -difference;
    });
    for (const other of head.parentElement.children) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", downwards ? "descending" : "ascending");
    const body = document.querySelector(".board tbody");
    for (const row of sorted) body.append(row);
  });
}
