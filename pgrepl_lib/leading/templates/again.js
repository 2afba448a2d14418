// The page is loaded again and again, unless its reader pauses that; what was open, and where he is, stays.
"use strict";
const again = document.querySelector("#again"), table = document.querySelector(".table");
const key = (part) => part.tagName + (part.parentElement.querySelector("[id]")?.id ?? part.textContent);

function those(chosen, keys) {
  return [...document.querySelectorAll(chosen)].filter((part) => keys.includes(key(part)));
}

if (history.state) {
  const { open, at, left } = history.state;
  those("summary", open).forEach((part) => (part.parentElement.open = true));
  those("a, summary, .table", at)[0]?.focus({ preventScroll: true });
  table.scrollLeft = left;
}
setInterval(() => {
  if (!again.checked) return;
  const open = [...document.querySelectorAll("details[open] > summary")].map(key);
  history.replaceState({ open, at: [key(document.activeElement)], left: table.scrollLeft }, "");
  location.reload();
}, 1000 * again.dataset.seconds);
