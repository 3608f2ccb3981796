// Dark or light as the system has it, or as was chosen here. Loaded first, so that nothing flashes.
(() => {
  let chosen = null;
  try {
    chosen = localStorage.getItem("warmfront-theme");
  } catch {
    // Storage may be forbidden; the system's choice stands.
  }
  if (chosen === "dark" || chosen === "light") document.documentElement.dataset.theme = chosen;
})();
