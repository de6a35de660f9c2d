(() => {
  history.replaceState(null, "", location.pathname.replace(/(\/login\/link)\/.*$/, "$1"));
  const form = document.getElementById("link");
  if (!form || !("auto" in form.dataset)) return;
  let sent = false;
  const submit = () => {
    if (sent || document.prerendering || document.hidden) return;
    sent = true;
    form.submit();
  };
  document.addEventListener("prerenderingchange", submit);
  document.addEventListener("visibilitychange", submit);
  submit();
})();
