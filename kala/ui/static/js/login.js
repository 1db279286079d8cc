// The end of a login while a page is open: the page says so once.
const PAGE = `${document.body.dataset.base}/login`;
let hasEnded = false;

export class LoggedOut extends Error {}

// Fetch what only somebody who is logged in gets. Throws LoggedOut for who is not; then do not try again.
export async function ask(url, options) {
  const response = await fetch(url, options);
  // Without a login, pages lead to the one for it.
  if (response.status === 401 || (response.redirected && new URL(response.url).pathname === PAGE)) {
    tell();
    throw new LoggedOut();
  }
  if (hasEnded) takeBack();
  return response;
}

function tell() {
  if (hasEnded) return;
  hasEnded = true;
  const link = document.createElement("a");
  // What people have typed must not go away with the page.
  const isForm = document.querySelector("main textarea") !== null;
  const here = location.pathname.slice(document.body.dataset.base.length) + location.search;
  link.href = isForm ? PAGE : `${PAGE}?${new URLSearchParams({ next: here })}`;
  link.target = isForm ? "_blank" : "";
  link.textContent = isForm ? "Log in in another tab" : "Log in";
  const notice = document.getElementById("notice");
  notice.replaceChildren(isForm ? "You are logged out. " : "You are logged out: this page no longer changes. ", link);
  notice.hidden = false;
  document.getElementById("announcer").textContent = "You are logged out";
  document.dispatchEvent(new CustomEvent("kala:logged-out"));
}

// The person has logged in again in another tab.
function takeBack() {
  hasEnded = false;
  document.getElementById("notice").hidden = true;
}
