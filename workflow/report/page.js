// A link to a candidate opens its page and everything that it is folded in.
function openTarget() {
  const target = location.hash.length > 1 && document.getElementById(decodeURIComponent(location.hash.slice(1)));
  for (let node = target; node; node = node.parentElement) if (node.tagName === "DETAILS") node.open = true;
  if (target) target.scrollIntoView();
}
addEventListener("hashchange", openTarget);
addEventListener("DOMContentLoaded", openTarget);
// A click on a heading sorts its table; a second one turns the order round.
function numberIn(text) { return parseFloat(text.replace(/\u2212/g, "-").replace(/[\s\u202f]/g, "")); }
for (const heading of document.querySelectorAll("th")) heading.addEventListener("click", () => {
  const body = heading.closest("table").tBodies[0], column = heading.cellIndex, down = heading.dataset.down !== "yes";
  heading.dataset.down = down ? "yes" : "no";
  const rows = [...body.rows].sort((one, other) => {
    const a = one.cells[column].textContent, b = other.cells[column].textContent, x = numberIn(a), y = numberIn(b);
    return (isNaN(x) || isNaN(y) ? a.localeCompare(b) : x - y) * (down ? 1 : -1);
  });
  body.append(...rows);
});
