// Asks for the page again and again and puts in what has changed: what is open stays open, and the focus where it is.
"use strict";
const every = 1000 * document.currentScript.dataset.every;

function all(page, chosen) {
  return [...page.querySelectorAll(chosen)];
}

function people(page) {
  return all(page, "tbody th").map((name) => name.textContent).join();
}

function put(fresh) {
  if (people(document) !== people(fresh)) {
    document.querySelector("main").replaceWith(fresh.querySelector("main"));
    return;
  }
  const now = all(fresh, "main p, td, summary, ol");
  all(document, "main p, td, summary, ol").forEach((part, at) => {
    if (part.innerHTML !== now[at].innerHTML) part.innerHTML = now[at].innerHTML;
    part.className = now[at].className;
    part.title = now[at].title;
  });
  const rows = all(fresh, "tbody tr");
  all(document, "tbody tr").forEach((row, at) => (row.className = rows[at].className));
}

async function renew() {
  try {
    const answer = await fetch(location.pathname, { cache: "no-store", redirect: "manual" });
    if (answer.type === "opaqueredirect") return location.reload(); // to sign in again
    if (!answer.ok) throw new Error(answer.status);
    put(new DOMParser().parseFromString(await answer.text(), "text/html"));
  } catch {
    document.querySelector("main p").className = "late";
  }
  setTimeout(renew, every);
}

function show() {
  const steps = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (steps) steps.closest("details").open = true;
}

addEventListener("hashchange", show);
show();
setTimeout(renew, every);
