module.exports = {
  apps: [{ script: "app.sh" }
};
