// What a person has chosen for this browser: the theme, the zone of times, and keyboard shortcuts.
export function chosen(name, fallback) {
  return localStorage.getItem(`kala-${name}`) ?? fallback;
}

function choose(name, value) {
  localStorage.setItem(`kala-${name}`, value);
}

export function setUp(onTimes) {
  const menu = document.getElementById("display");
  menu.hidden = false;
  radio("theme", "system", (value) => {
    if (value === "system") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = value;
  });
  radio("times", "server", onTimes);
  const keys = document.getElementById("single-keys");
  keys.checked = chosen("keys", "on") === "on";
  keys.addEventListener("change", () => choose("keys", keys.checked ? "on" : "off"));
  for (const one of document.querySelectorAll("details.menu")) closeOnEscape(one);
}

function radio(name, fallback, act) {
  for (const input of document.querySelectorAll(`#${name} input`)) {
    input.checked = input.value === chosen(name, fallback);
    input.addEventListener("change", () => {
      choose(name, input.value);
      act(input.value);
    });
  }
}

function closeOnEscape(menu) {
  menu.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    menu.open = false;
    menu.querySelector("summary").focus();
  });
  document.addEventListener("pointerdown", (event) => {
    if (!menu.contains(event.target)) menu.open = false;
  });
}
