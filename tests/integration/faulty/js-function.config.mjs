export default function apps() {
  return [{ script: "app.sh" }];
}
