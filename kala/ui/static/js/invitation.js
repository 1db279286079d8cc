// Puts the secret of an invitation, which stands behind the `#` of the link, into the form, and out of the history.
const field = document.getElementById("invitation");

if (location.hash.length > 1) {
  field.value = location.hash.slice(1);
  history.replaceState(null, "", location.pathname);
  document.getElementById("password").focus();
}
