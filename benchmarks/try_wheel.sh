#!/bin/sh
# The newest wheel of dist/ as a new user has it: the runtime alone in an empty environment, and
# a build of the demo by the name of its recipe in another one, in an empty folder.
set -eu
root=$(pwd)
wheel=$(ls -t "$root"/dist/*.whl | head -1)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
cp -r "$root/calibration" .
mkdir demo
cp "$root/demo/demo.nemo" demo/
${PYTHON:-python3} -m venv builder
builder/bin/pip install --quiet torch==2.13.0
builder/bin/pip install --quiet -c "$root/.constraints.txt" "quantkit[build] @ file://$wheel"
builder/bin/quantkit build demo-int4-rtn --set 'verify.gates={token_error_rate: 0.5}'
${PYTHON:-python3} -m venv runtime
runtime/bin/pip install --quiet -c "$root/.constraints.txt" "$wheel"
runtime/bin/quantkit recipes demo-int4-rtn >/dev/null
runtime/bin/quantkit transcribe artifacts/demo-int4-rtn calibration/asterisk-parity/agent-pass.flac
