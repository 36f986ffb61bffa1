"""Reads the monitoring files with gcloud's own message classes: a name that Google's API does not know is an error.

Run by gcloud's Python, with gcloud's `lib` and `lib/third_party` on the path. Arguments: kind=file ..., where the kind is
metric, dashboard or policy. Prints one line for each unknown name and exits 1 when there was one.
"""

import sys

from apitools.base.py import encoding
from googlecloudsdk.core import yaml
from googlecloudsdk.generated_clients.apis.logging.v2 import logging_v2_messages
from googlecloudsdk.generated_clients.apis.monitoring.v1 import monitoring_v1_messages
from googlecloudsdk.generated_clients.apis.monitoring.v3 import monitoring_v3_messages

KINDS = {
    "metric": logging_v2_messages.LogMetric,
    "dashboard": monitoring_v1_messages.Dashboard,
    "policy": monitoring_v3_messages.AlertPolicy,
}


def main(pairs):
    """Returns the exit code."""
    unknown = 0
    for pair in pairs:
        kind, _, path = pair.partition("=")
        message = encoding.PyValueToMessage(KINDS[kind], yaml.load_path(path))
        for edges, names in encoding.UnrecognizedFieldIter(message):
            where = ".".join(str(edge) for edge in edges)
            print(f"{path}: {where}: {', '.join(names)}")
            unknown += 1
    return 1 if unknown else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
