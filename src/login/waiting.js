(() => {
  const form = document.getElementById("code");
  const show = (id) => { const e = document.getElementById(id); if (e) e.hidden = false; };
  let wait = 2000, timer = 0, busy = false, over = false;
  const later = () => { clearTimeout(timer); if (!over && !document.hidden) timer = setTimeout(ask, wait); };
  async function ask() {
    if (busy || over || document.hidden) return;
    busy = true;
    try {
      const answer = await fetch(form.dataset.state, { cache: "no-store", headers: { accept: "application/json" } });
      if (!answer.ok) throw answer.status;
      const said = await answer.json();
      wait = 2000;
      if (said.state === "consumed") {
        const next = new URL(said.continue, location.href);
        if (next.origin === location.origin) { over = true; location.replace(next.href); }
      } else if (said.state === "ended") {
        over = true;
        document.getElementById("waiting").hidden = true;
        show("ended");
      }
    } catch { wait = Math.min(wait * 2, 30000); }
    busy = false;
    later();
  }
  document.addEventListener("visibilitychange", () => { if (document.hidden) clearTimeout(timer); else ask(); });
  show("waiting");
  later();
  const resend = document.querySelector("#resend button"), pause = Number(resend?.dataset.after);
  if (pause > 0) {
    resend.disabled = true;
    setTimeout(() => { resend.disabled = false; document.getElementById("pause").hidden = true; }, pause * 1000);
  }
})();
