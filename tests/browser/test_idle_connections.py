"""Node's HTTP client, which Playwright brings along, on connections that were idle for as long as servers keep them."""

import json
import subprocess

from playwright._impl._driver import compute_driver_executable

from tests.e2e.system import System

CLIENTS = 200
ASK = """
const http = require("http");
const [port, clients] = process.argv.slice(1).map(Number);
const once = (agent) => new Promise((done) => {
  const asked = http.get({ agent, port, host: "127.0.0.1", path: "/healthz" }, (answer) => {
    answer.resume().on("end", () => done([answer.statusCode, asked.reusedSocket]));
  }).on("error", (error) => done([error.code, asked.reusedSocket]));
});
const pause = (seconds) => new Promise((done) => setTimeout(done, seconds * 1000));
Promise.all([...Array(clients).keys()].map(async (number) => {
  const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
  const first = await once(agent);
  await pause([14.9, 15, 15.1, 20][number % 4]);
  const second = await once(agent);
  agent.destroy();
  return [...first, ...second];
})).then((seen) => console.log(JSON.stringify(seen)));
"""


def test_a_connection_that_was_idle_for_20_seconds_is_used_again(system: System) -> None:
    node, _ = compute_driver_executable()
    command = [node, "-e", ASK, str(system.port), str(CLIENTS)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=True)
    assert json.loads(done.stdout) == [[200, False, 200, True]] * CLIENTS
