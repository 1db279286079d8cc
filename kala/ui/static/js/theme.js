// Runs before the page is drawn, so that it never appears in the wrong theme.
"use strict";
(() => {
  const theme = window.localStorage?.getItem("kala-theme");
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
})();
