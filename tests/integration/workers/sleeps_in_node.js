// Serves nobody and never ends by itself.
setInterval(() => {}, 1000);
