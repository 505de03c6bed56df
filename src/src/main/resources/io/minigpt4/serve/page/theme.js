// Runs before anything is painted, so that a chosen theme does not flash up in the other one first.
(function () {
  try {
    const chosen = localStorage.getItem('minigpt4.theme');
    if (chosen === 'light' || chosen === 'dark') {
      document.documentElement.dataset.theme = chosen;
    }
  } catch {
    // A browser that keeps nothing follows the system's theme.
  }
})();
