"""The documents tell the truth: each bash block behind <!-- tested --> runs, line by line, in a copy
of what a reader has in front of them, and no command fails; the other blocks use only commands and
options that exist; every link leads somewhere."""

import json
import os
import re
import shutil
import subprocess
import unittest

from harness import BIN, ROOT, ClusterTestCase

DOCUMENTS = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"),
             *ROOT.glob("docs/*/*.md"), *ROOT.glob("examples/*.md"), *ROOT.glob("examples/*/*.md")]
BLOCK = re.compile(r"^```bash\n(.*?)^```$", re.DOTALL | re.MULTILINE)
TESTED = re.compile(r"^<!-- tested -->\n```bash\n(.*?)^```$", re.DOTALL | re.MULTILINE)
COMMAND = re.compile(r"\bclusterctl (\w[\w-]*)(.*)")
OPTION = re.compile(r"(?<!\S)--?[a-zA-Z][\w-]*")
LINK = re.compile(r"\]\(([^)#:]+)(?:#([^)]+))?\)|\]\(#([^)]+)\)")


def anchors(path):
    """What GitHub makes of the headings of a Markdown file."""
    titles = re.findall(r"^#+ (.*)$", path.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


class Documents(ClusterTestCase):
    def setUp(self):
        super().setUp()
        self.home = self.dir / ".clusterctl"  # the default, which the documents speak of
        self.log = self.home / "clusterd.log"

    def run_script(self, text):
        """As a reader would type it, with clusterctl in the PATH and free ports in the examples."""
        shutil.copytree(ROOT / "examples", self.dir / "examples")
        ports = {port: str(self.free_port()) for port in set(re.findall(r"\b31\d\d\b", text))}

        def with_free_ports(source):
            return re.sub(r"\b31\d\d\b", lambda match: ports.get(match[0], match[0]), source)

        for path in self.dir.glob("examples/*/ecosystem.*"):
            path.write_text(with_free_ports(path.read_text()))
        env = self.environment({"HOME": str(self.dir), "CLUSTER_HOME": None,
                                "PATH": f"{BIN}:{os.environ['PATH']}"})
        done = subprocess.run(["bash", "-euxo", "pipefail", "-c", with_free_ports(text)], env=env,
                              cwd=self.dir, capture_output=True, text=True, timeout=120,
                              stdin=subprocess.DEVNULL)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        return done.stdout

    def test_the_readme(self):
        self.run_script("".join(TESTED.findall((ROOT / "README.md").read_text())))

    def test_the_guide(self):
        self.run_script("".join(TESTED.findall((ROOT / "docs/guide.md").read_text())))

    def test_zero_downtime(self):
        self.run_script("".join(TESTED.findall((ROOT / "docs/zero-downtime.md").read_text())))

    def test_containers(self):
        self.run_script("".join(TESTED.findall((ROOT / "docs/containers.md").read_text())))

    def test_metrics(self):
        self.run_script("".join(TESTED.findall((ROOT / "docs/metrics.md").read_text())))

    def test_the_protocol_by_hand(self):
        self.ctl("start", "sleep 1000", "--name", "nap")
        script = BLOCK.findall((ROOT / "docs/protocol.md").read_text())[-1]
        hello, answer = map(json.loads, self.run_script(script).splitlines())
        self.assertEqual(hello["result"]["protocol"], 1)
        self.assertEqual([one["name"] for one in answer["result"]["processes"]], ["nap"])

    def help_of(self, command):
        """The help of a command, None when there is no such command."""
        if command not in self.known:
            answer = self.ctl(command, "--help", check=False)
            self.known[command] = answer.out if answer.code == 0 else None
        return self.known[command]

    def test_each_command_and_option_exists(self):
        self.known = {}
        everywhere = self.ctl("help").out
        for path in DOCUMENTS:
            for line in "".join(BLOCK.findall(path.read_text())).splitlines():
                found = COMMAND.search(line.partition("#")[0])
                if not found:
                    continue
                with self.subTest(f"{path.name}: {line}"):
                    usage = self.help_of(found[1])
                    self.assertTrue(usage, f"no command {found[1]}")
                    own = re.sub(r'"[^"]*"|[|].*', "", found[2]).partition(" -- ")[0]
                    for option in OPTION.findall(own):
                        self.assertRegex(usage + everywhere, rf"{option}\b")
        self.assertIn("restart", self.known)

    def test_each_command_is_documented(self):
        listed = re.search(r"^commands:\n(.*?)\n\n", self.ctl("help").out, re.DOTALL | re.MULTILINE)
        text = (ROOT / "docs/cli.md").read_text()
        for line in listed[1].splitlines():
            command = line.split()[0].rstrip(",")
            with self.subTest(command):
                self.assertRegex(text, rf"\bclusterctl {command}\b")

    def test_each_link_leads_somewhere(self):
        for path in DOCUMENTS:
            for file, anchor, own_anchor in LINK.findall(path.read_text()):
                with self.subTest(f"{path.name}: {file}#{anchor or own_anchor}"):
                    target = path.parent / file if file else path
                    self.assertTrue(target.exists())
                    if anchor or own_anchor:
                        self.assertIn(anchor or own_anchor, anchors(target))


if __name__ == "__main__":
    unittest.main()
