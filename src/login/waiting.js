(() => {
  const states = document.querySelector("[data-state]").dataset.state;
  const show = (id) => { const element = document.getElementById(id); if (element) element.hidden = false; };
  let wait = 2000, timer = 0, busy = false, over = false;
  const schedule = () => { clearTimeout(timer); if (!over && !document.hidden) timer = setTimeout(poll, wait); };
  async function poll() {
    if (busy || over || document.hidden) return;
    busy = true;
    try {
      const response = await fetch(states, { cache: "no-store", headers: { accept: "application/json" } });
      if (!response.ok) throw response.status;
      const flow = await response.json();
      wait = 2000;
      for (const id of ["email-late", "email-failed"]) document.getElementById(id).hidden = id !== flow.email;
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
  // A page that Back brings from memory may be long out of date.
  addEventListener("pageshow", (event) => { if (event.persisted) poll(); });
  // The second press of a double click is none: it would cost another attempt or email.
  for (const form of document.querySelectorAll("form")) {
    let sent = false;
    form.addEventListener("submit", (event) => {
      if (sent) return event.preventDefault();
      sent = true;
      setTimeout(() => { sent = false; }, 3000);
    });
  }
  show("waiting");
  schedule();
  const field = document.getElementById("code-field");
  if (field?.value) field.select();
  const resend = document.querySelector("#resend button"), pause = Number(resend?.dataset.after);
  if (pause > 0) {
    const text = document.getElementById("pause"), time = text.querySelector("bdi");
    const end = Date.now() + pause * 1000;
    resend.disabled = true;
    const tick = () => {
      const left = Math.max(0, Math.ceil((end - Date.now()) / 1000));
      if (time) time.textContent = `${Math.floor(left / 60)}:${String(left % 60).padStart(2, "0")}`;
      if (left > 0) return setTimeout(tick, 250);
      resend.disabled = false;
      text.hidden = true;
    };
    tick();
  }
})();
