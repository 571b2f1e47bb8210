// The table of contents, from the headings.
const list = document.querySelector("nav ol");
document.querySelectorAll("main h2").forEach((heading, number) => {
  heading.id ||= `section-${number}`;
  const link = document.createElement("a");
  link.href = `#${heading.id}`;
  link.textContent = heading.textContent.replace("¶", "");
  list?.appendChild(document.createElement("li")).appendChild(link);
});
// Code is folded; one button unfolds it all, and so does printing or searching for it by hand.
const button = document.querySelector("#unfold");
button?.addEventListener("click", () => {
  const open = button.getAttribute("aria-pressed") !== "true";
  button.setAttribute("aria-pressed", open);
  button.textContent = open ? "Hide all code" : "Show all code";
  document.querySelectorAll("details.code").forEach((each) => (each.open = open));
});
// A column's head is a button that sorts by it; tables whose rows belong together in groups stay as they are.
document.querySelectorAll("main table:not(:has([rowspan])) thead tr:last-child th").forEach((head) => {
  const button = document.createElement("button");
  button.type = "button";
  button.append(...head.childNodes);
  if (button.textContent.trim()) head.append(button);
  button.addEventListener("click", () => sort(head));
});
function sort(head) {
  const body = head.closest("table").tBodies[0];
  const column = [...head.parentNode.children].indexOf(head);
  const down = head.getAttribute("aria-sort") === "ascending";
  const key = (row) => row.cells[column]?.textContent.trim() ?? "";
  const compare = (a, b) => (isNaN(parseFloat(key(a)) - parseFloat(key(b)))
    ? key(a).localeCompare(key(b)) : parseFloat(key(a)) - parseFloat(key(b)));
  [...head.parentNode.children].forEach((each) => each.removeAttribute("aria-sort"));
  head.setAttribute("aria-sort", down ? "descending" : "ascending");
  body.append(...[...body.rows].sort((a, b) => (down ? compare(b, a) : compare(a, b))));
}
// What holds from some moment on, and this page was written before.
document.querySelectorAll("[data-from]").forEach((each) => (each.hidden = Date.now() < Date.parse(each.dataset.from)));
// What is too wide for the screen scrolls by itself, also by keyboard; a phone may be turned at any time.
function reach() {
  document.querySelectorAll(".output_subarea, .scroll, pre").forEach((area) => {
    if (area.scrollWidth > area.clientWidth) area.tabIndex = 0;
    else area.removeAttribute("tabindex");
  });
}
reach();
addEventListener("resize", reach);
