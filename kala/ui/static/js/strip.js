// The bars of the strip are one stop for the Tab key; arrow keys go from bar to bar.
let current = 0;

function bars() {
  return [...document.querySelectorAll(".strip ol a")].filter((bar) => bar.getClientRects().length);
}

function setUp() {
  const all = bars(), focused = all.indexOf(document.activeElement);
  current = Math.min(focused < 0 ? current : focused, all.length - 1);
  for (const bar of document.querySelectorAll(".strip ol a")) bar.tabIndex = bar === all[current] ? 0 : -1;
}

const MOVES = {
  ArrowLeft: () => current - 1, ArrowRight: () => current + 1, Home: () => 0, End: () => Infinity,
};

document.addEventListener("keydown", (event) => {
  if (!event.target.closest?.(".strip ol a") || !(event.key in MOVES)) return;
  event.preventDefault();
  const all = bars();
  current = Math.max(0, Math.min(all.length - 1, MOVES[event.key]()));
  setUpAt(all);
});

function setUpAt(all) {
  for (const bar of all) bar.tabIndex = bar === all[current] ? 0 : -1;
  all[current].focus();
}

document.addEventListener("kala:shown", setUp);
window.addEventListener("resize", setUp);
setUp();
