"""The peer of the benchmark of complete runs: dlt's `rest_api` source to Parquet on local disk, for the same contacts.

usage: dlt_contacts.py BASE_URL FOLDER

BASE_URL serves /contacts pages that follow `_links.next.href`; FOLDER receives the tables. The settings are the ones that
dlt's documentation recommends for speed: Parquet files, two normalise workers, no progress output.
"""

import os
import sys
import time

base_url, folder = sys.argv[1], sys.argv[2]
os.environ["NORMALIZE__WORKERS"] = "2"
os.environ["RUNTIME__LOG_LEVEL"] = "CRITICAL"
os.environ["RUNTIME__DLTHUB_TELEMETRY"] = "false"
os.environ["DESTINATION__FILESYSTEM__BUCKET_URL"] = f"file://{os.path.abspath(folder)}"

import dlt  # noqa: E402  (reads the environment when imported)
from dlt.sources.helpers.rest_client.paginators import JSONLinkPaginator  # noqa: E402
from dlt.sources.rest_api import rest_api_source  # noqa: E402

if __name__ == "__main__":
    source = rest_api_source(
        {
            "client": {
                "base_url": base_url,
                "auth": {"type": "bearer", "token": "static"},
                "paginator": JSONLinkPaginator(next_url_path="_links.next.href"),
            },
            "resources": [
                {
                    "name": "contacts",
                    "primary_key": "contact_id",
                    "endpoint": {
                        "path": "contacts",
                        "params": {"limit": 500, "status": "all"},
                        "data_selector": "contacts",
                    },
                }
            ],
        }
    )
    started = time.perf_counter()
    pipeline = dlt.pipeline("peer", destination="filesystem", dataset_name="peer", pipelines_dir=f"{folder}/state")
    pipeline.run(source, loader_file_format="parquet")
    seconds = time.perf_counter() - started
    rows = pipeline.last_trace.last_normalize_info.row_counts
    print(f"{rows['contacts']} contacts in {seconds:.3f} s")
