"use strict";
// Tells the server the browser's time zone, in a cookie, so that a day on the page is a day of its reader.
(() => {
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  const wanted = `sluice_zone=${zone}`;
  const known = () => document.cookie.split("; ").includes(wanted);
  if (!zone || known()) return;
  document.cookie = `${wanted}; path=/; max-age=31536000; samesite=lax${location.protocol === "https:" ? "; secure" : ""}`;
  const shown = document.querySelector("[data-zone]");
  if (shown && known() && shown.dataset.zone !== zone) location.reload(); // once, because the next time the cookie is known
})();
