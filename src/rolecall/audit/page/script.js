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
    // Names begin with A, numbers with the largest.
    const first = column === 0 ? "ascending" : "descending";
    const other = column === 0 ? "descending" : "ascending";
    const order = head.getAttribute("aria-sort") === first ? other : first;
    const value = (row) => Number(row.children[column].dataset.value || 0);
    const sorted = [...rows].sort((left, right) => {
      const difference =
        column === 0
          ? left.dataset.name.localeCompare(right.dataset.name)
          : value(right) - value(left);
      return order === first ? difference : -difference;
    });
    for (const each of head.parentElement.children) each.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", order);
    const body = document.querySelector(".board tbody");
    for (const row of sorted) body.append(row);
  });
}
