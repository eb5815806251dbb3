#!/usr/bin/env python3
"""What a checkpoint holds, from its manifest; of two, what differs, whatever grids wrote them.

    tools/checkpoint_info.py runs/demo                        the newest of a run
    tools/checkpoint_info.py runs/demo/checkpoints/step_00000120 --tensors
    tools/checkpoint_info.py A B                              exit status 1 if their states differ

The tensors themselves open in h5py, h5ls and HDFView: checkpoint.h5 shows them whole."""
import argparse
import json
import sys
from pathlib import Path


def manifest_of(path):
    path = Path(path)
    for folder in (path, path / "checkpoints"):
        steps = sorted(folder.glob("step_" + "[0-9]" * 8 + "*/MANIFEST.json"))
        for manifest in [folder / "MANIFEST.json"] + steps[::-1]:
            if manifest.is_file() and ".tmp" not in str(manifest.parent):
                return manifest.parent, json.loads(manifest.read_text())
    sys.exit(f"{path}: no checkpoint there; give a folder step_N, a folder of them, or a run directory")


def show(folder, manifest, tensors):
    size = sum(file["bytes"] for file in manifest["files"])
    print(f"{folder}\n  step {manifest['step']}, {manifest['tokens']} tokens, {manifest['program']}, {manifest['grid']}")
    print(f"  state {manifest['state']}: {len(manifest['tensors'])} tensors, {len(manifest['values'])} values, "
          f"{size / 1e6:.1f} MB in {len(manifest['files'])} files")
    for name, tensor in manifest["tensors"].items() if tensors else ():
        print(f"  {tensor['fingerprint']}  {tensor['dtype']:5} {str(tensor['shape']):20} /{name}")


def differences(a, b):
    for kind in ("tensors", "values"):
        for name in sorted(a[kind].keys() | b[kind].keys()):
            if a[kind].get(name) != b[kind].get(name):
                yield f"  /{name}: {a[kind].get(name, 'missing')} | {b[kind].get(name, 'missing')}"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoints", nargs="+")
    parser.add_argument("--tensors", action="store_true", help="list each tensor with its fingerprint")
    arguments = parser.parse_args()
    found = [manifest_of(path) for path in arguments.checkpoints]
    for folder, manifest in found:
        show(folder, manifest, arguments.tensors)
    different = [line for _, other in found[1:] for line in differences(found[0][1], other)]
    if len(found) > 1:
        print("\n".join(["states differ:"] + different) if different else "equal states")
    return 1 if different else 0


if __name__ == "__main__":
    sys.exit(main())
