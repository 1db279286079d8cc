// Ticks in the list of jobs: how many there are, all at once, and ranges by Shift.
const bulk = document.getElementById("bulk");
let last = null;

function boxes() {
  return [...document.querySelectorAll("#list input[name=ids]")];
}

function isAll() {
  return bulk.elements.all.checked;
}

function show() {
  const all = boxes(), count = all.filter((box) => box.checked).length;
  const ticked = document.getElementById("ticked");
  ticked.hidden = false;
  ticked.textContent = isAll() ? "" : `${count} ticked`;
  for (const button of bulk.querySelectorAll("button")) button.disabled = !count && !isAll();
  const every = document.getElementById("tick-all");
  if (!every) return;
  every.hidden = false;
  every.checked = all.length > 0 && count === all.length;
  every.indeterminate = count > 0 && count < all.length;
}

// Tick, or clear, the rows from the one that was clicked before up to this one.
function range(box) {
  const all = boxes();
  const [from, to] = [all.indexOf(last), all.indexOf(box)].sort((a, b) => a - b);
  if (from >= 0) for (const one of all.slice(from, to + 1)) one.checked = box.checked;
}

function click(event) {
  const box = event.target;
  if (box.id === "tick-all") for (const one of boxes()) one.checked = box.checked;
  if (box.name === "ids") {
    if (event.shiftKey) range(box);
    last = box;
  }
  show();
}

// Browsers differ in what Shift and Space do to a box.
function press(event) {
  const box = event.target;
  if (event.key !== " " || !event.shiftKey || box.name !== "ids") return;
  event.preventDefault();
  if (event.type === "keyup") return;
  box.checked = !box.checked;
  range(box);
  last = box;
  show();
}

if (bulk) {
  document.addEventListener("click", (event) => event.target.type === "checkbox" && click(event));
  document.addEventListener("keydown", press);
  document.addEventListener("keyup", press);
  // Browsers keep ticks when a person goes back to the page.
  window.addEventListener("pageshow", show);
  document.addEventListener("kala:shown", () => {
    document.getElementById("total").textContent = document.getElementById("list").dataset.total;
    show();
  });
  show();
}
