// The place of the throw is part of the message.
const missing = undefined;
module.exports = { apps: missing.apps };
