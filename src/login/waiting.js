(() => {
  const form = document.getElementById("code");
  const show = (id) => { const element = document.getElementById(id); if (element) element.hidden = false; };
  let wait = 2000, timer = 0, busy = false, over = false;
  const schedule = () => { clearTimeout(timer); if (!over && !document.hidden) timer = setTimeout(poll, wait); };
  async function poll() {
    if (busy || over || document.hidden) return;
    busy = true;
    try {
      const response = await fetch(form.dataset.state, { cache: "no-store", headers: { accept: "application/json" } });
      if (!response.ok) throw response.status;
      const flow = await response.json();
      wait = 2000;
      if (flow.state === "consumed") {
        const next = new URL(flow.continue, location.href);
        if (next.origin === location.origin) { over = true; location.replace(next.href); }
      } else if (flow.state === "ended") {
        over = true;
        document.getElementById("waiting").hidden = true;
        show("ended");
      }
    } catch { wait = Math.min(wait * 2, 30000); }
    busy = false;
    schedule();
  }
  document.addEventListener("visibilitychange", () => { if (document.hidden) clearTimeout(timer); else poll(); });
  show("waiting");
  schedule();
  const resend = document.querySelector("#resend button"), pause = Number(resend?.dataset.after);
  if (pause > 0) {
    resend.disabled = true;
    setTimeout(() => { resend.disabled = false; document.getElementById("pause").hidden = true; }, pause * 1000);
  }
})();
