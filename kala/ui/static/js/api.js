// Only the browser knows whether a proxy offers Kala by https.
document.getElementById("address").textContent = location.origin + document.body.dataset.base;
