// broken_version.js HOW: a new version that is no good. HOW is `crash` (ends at once with 7),
// `deaf` (never gets ready) or `soak` (says that it is ready, then ends with 7).
const how = process.argv[2];

function end() {
  console.error(`${how}: about to end with 7`);
  process.exit(7);
}

if (how === 'crash') end();
if (how === 'deaf') setInterval(() => {}, 1000);
if (how === 'soak') {
  process.send('ready');
  setTimeout(end, 100);
}
