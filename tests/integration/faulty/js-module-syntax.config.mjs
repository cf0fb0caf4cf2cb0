export default {
  name: "api",
  script: ,
};
