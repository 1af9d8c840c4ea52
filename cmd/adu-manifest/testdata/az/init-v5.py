# SPDX-License-Identifier: MIT
"""Runs "az iot du update init v5" out of the source of the public extension, without Azure's
libraries: what the command takes of them is errors and a log.

    init-v5.py FOLDER FLAG VALUE... FLAG VALUE... ...

FOLDER is a checkout of azure-iot-cli-extension. The manifest goes to standard output.
"""

import importlib.abc
import importlib.machinery
import json
import logging
import os
import sys
import types


libraries = ("azure", "isodate", "jmespath", "knack", "msrest", "msrestazure", "tomli", "tomli_w", "tqdm")


class Name(type):
    """What a missing module is asked for: an error, whose attributes are such errors too."""

    def __getattr__(cls, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return Name(name, (Exception,), {})


class Missing(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds what is not installed: a module in which every name is an error."""

    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in libraries or name.startswith(
            ("azext_iot.sdk", "azext_iot.common.embedded_cli", "azext_iot.deviceupdate.providers.loaders")
        ):
            return importlib.machinery.ModuleSpec(name, self, is_package=True)
        return None

    def create_module(self, spec):
        module = types.ModuleType(spec.name)
        module.__path__ = []
        module.get_logger = logging.getLogger
        module.reload_modules = lambda: None
        module.__getattr__ = lambda name: getattr(Name("module", (Exception,), {}), name)
        return module

    def exec_module(self, module):
        pass


sys.meta_path.insert(0, Missing())
# Packages without what they begin with, which registers all commands.
for name in ("azext_iot", "azext_iot.deviceupdate"):
    package = types.ModuleType(name)
    package.__path__ = [os.path.join(sys.argv[1], *name.split("."))]
    sys.modules[name] = package

from azext_iot.deviceupdate.commands_update import manifest_init_v5  # noqa: E402

single = {
    "--update-provider": "update_provider", "--up": "update_provider",
    "--update-name": "update_name", "--un": "update_name",
    "--update-version": "update_version", "--uv": "update_version",
    "--description": "description", "--is-deployable": "deployable",
}
lists = {"--compat": "compatibility", "--step": "steps", "--file": "files", "--related-file": "related_files"}
call = {"compatibility": [], "steps": []}
flags = []
for word in sys.argv[2:]:
    if word.startswith("--"):
        flags.append(word)
        if word in lists:
            call.setdefault(lists[word], []).append([])
    elif flags[-1] in lists:
        call[lists[flags[-1]]][-1].append(word)
    else:
        call[single[flags[-1]]] = word == "true" if flags[-1] == "--is-deployable" else word

cmd = types.SimpleNamespace(cli_ctx=types.SimpleNamespace(data={"safe_params": flags}))
json.dump(manifest_init_v5(cmd, no_validation=True, **call), sys.stdout)
