// Times in the viewer's zone, dialogs, arrow keys in the heat map, and news from the loop. Pages read well without it.
"use strict";

(() => {
  // Written as the server writes them, so that a page has one kind of date; the zone's name is the viewer's own.
  const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
  const clock = new Intl.DateTimeFormat("en-GB", {
    day: "numeric", month: "numeric", year: "numeric", hour: "2-digit", minute: "2-digit", hourCycle: "h23",
  });
  const zone = new Intl.DateTimeFormat(undefined, { timeZoneName: "short" });
  const parts = (format, moment) => Object.fromEntries(format.formatToParts(moment).map((p) => [p.type, p.value]));

  const written = (moment, dayOnly) => {
    const { day, month, year, hour, minute } = parts(clock, moment);
    const date = `${Number(day)} ${MONTHS[month - 1]} ${year}`;
    return dayOnly ? date : `${date}, ${hour}:${minute} ${parts(zone, moment).timeZoneName}`;
  };

  const localTimes = (root) => {
    for (const time of root.querySelectorAll("time[datetime]")) {
      const moment = new Date(time.dateTime);
      if (Number.isNaN(moment.valueOf())) continue;
      time.title = time.textContent.trim();
      time.textContent = written(moment, "day" in time.dataset);
    }
  };

  // ---------------------------------------------------------------- orders: ask in a dialog, send once

  document.addEventListener("click", (event) => {
    const opener = event.target.closest("[data-dialog]");
    const dialog = opener && document.getElementById(opener.dataset.dialog);
    if (dialog) {
      event.preventDefault();
      dialog.showModal();
      dialog.querySelector("textarea").focus();
    }
    if (event.target.closest("[data-close]")) event.target.closest("dialog").close();
  });

  document.addEventListener("submit", (event) => {
    if (event.target.method !== "post") return;
    if (event.target.dataset.sent) event.preventDefault();
    event.target.dataset.sent = "yes";
  });

  // ---------------------------------------------------------------- grids: the newest first in sight, one tab stop

  const STEPS = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };

  const enter = (root) => {
    for (const box of root.querySelectorAll(".scroll")) {  // what scrolls can be scrolled by keyboard, too
      if (box.scrollWidth > box.clientWidth && !box.querySelector("a, button")) box.tabIndex = 0;
    }
    for (const table of root.querySelectorAll("[data-newest-last]")) {
      table.parentElement.scrollLeft = table.parentElement.scrollWidth;
    }
    for (const grid of root.querySelectorAll("[data-grid] tbody")) {
      const links = [...grid.querySelectorAll(".cell a")];
      links.forEach((link, position) => { link.tabIndex = position ? -1 : 0; });
    }
  };

  document.addEventListener("keydown", (event) => {
    const step = STEPS[event.key];
    const cell = step && event.target.closest("[data-grid] .cell");
    if (!cell) return;
    const row = [...cell.parentNode.parentNode.rows][cell.parentNode.sectionRowIndex + step[0]];
    const next = row && row.cells[cell.cellIndex + step[1]]?.querySelector("a");
    if (!next || !next.closest(".cell")) return;
    event.preventDefault();
    event.target.tabIndex = -1;
    next.tabIndex = 0;
    next.focus();
  });

  // ---------------------------------------------------------------- news

  const live = () => document.getElementById("live");
  const news = document.getElementById("news");
  const EVERY = 2000;

  const announce = (before, after) => {
    const [promotions, events, , windows] = before.split(".").map(Number);
    const told = [];
    if (after.promotions > promotions) told.push(`Version ${after.champion} is champion now.`);
    if (after.windows > windows) told.push("A window was closed.");
    if (after.case_events > events) told.push("A case has moved.");
    news.textContent = told.join(" ") || "Somebody wrote about a case.";
    setTimeout(() => { news.textContent = ""; }, 15000);
  };

  // A page is not changed under somebody who writes in it.
  const busy = () => document.querySelector("dialog[open]")
    || live().contains(document.activeElement) && document.activeElement.matches("input, textarea, select");

  const refresh = async () => {
    const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
    if (!answer.ok || busy()) return false;
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const fresh = page.getElementById("live");
    if (!fresh || busy()) return false;
    const focused = live().contains(document.activeElement) && document.activeElement.getAttribute("href");
    for (const open of live().querySelectorAll("details[open][id]")) {
      fresh.querySelector(`#${CSS.escape(open.id)}`)?.setAttribute("open", "");
    }
    localTimes(fresh);
    live().replaceWith(fresh);
    enter(fresh);
    if (focused) live().querySelector(`[href="${CSS.escape(focused)}"]`)?.focus();
    document.dispatchEvent(new Event("riskloop:fresh"));
    return true;
  };

  const look = async () => {
    const here = live();
    if (document.hidden || busy()) return;
    const answer = await fetch(here.dataset.live);
    if (answer.status === 401) location.reload();  // the session is over: the page leads to the login
    if (!answer.ok) return;
    const now = await answer.json();
    for (const today of here.querySelectorAll("[data-today]")) today.textContent = now.today.toLocaleString("en");
    const pulse = `${now.promotions}.${now.case_events}.${now.case_notes}.${now.windows}`;
    if (pulse === here.dataset.pulse) return;
    const before = here.dataset.pulse;
    if (await refresh()) announce(before, now);
  };

  const poll = async () => {
    try {
      await look();
    } catch {
      // The server is away; the next look may find it again.
    }
    setTimeout(poll, EVERY);
  };

  localTimes(document);
  enter(document);
  if (live()) setTimeout(poll, EVERY);
})();
