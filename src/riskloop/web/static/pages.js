// Times in the viewer's zone, and news from the loop. Pages read well without it.
"use strict";

(() => {
  const zone = new Intl.DateTimeFormat(undefined, {
    day: "numeric", month: "short", year: "numeric", hour: "2-digit", minute: "2-digit", timeZoneName: "short",
  });

  const localTimes = (root) => {
    for (const time of root.querySelectorAll("time[datetime]")) {
      const moment = new Date(time.dateTime);
      if (Number.isNaN(moment.valueOf())) continue;
      time.title = time.textContent.trim();
      time.textContent = zone.format(moment);
    }
  };

  const live = () => document.getElementById("live");
  const news = document.getElementById("news");
  const EVERY = 2000;

  const announce = (before, after) => {
    const [promotions, , windows] = before.split(".").map(Number);
    const told = [];
    if (after.promotions > promotions) told.push(`Version ${after.champion} is champion now.`);
    if (after.windows > windows) told.push("A window was closed.");
    news.textContent = told.join(" ") || "A case has moved.";
    setTimeout(() => { news.textContent = ""; }, 15000);
  };

  const refresh = async () => {
    const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
    if (!answer.ok) return;
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html").getElementById("live");
    if (!fresh) return;
    localTimes(fresh);
    live().replaceWith(fresh);
  };

  const look = async () => {
    const here = live();
    if (!here || document.hidden) return;
    const answer = await fetch(here.dataset.live);
    if (!answer.ok) return;
    const now = await answer.json();
    const today = here.querySelector("[data-today]");
    if (today) today.textContent = now.today.toLocaleString("en");
    const pulse = `${now.promotions}.${now.case_events}.${now.windows}`;
    if (pulse === here.dataset.pulse) return;
    const before = here.dataset.pulse;
    await refresh();
    announce(before, now);
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
  if (live()) setTimeout(poll, EVERY);
})();
