"""The examples at the end of each command's help, by its name. A test looks at whether they are written as they should be."""

from __future__ import annotations

from typing import Final

OF_SPARK: Final = {
    "run": """\
spark run reports:graph --input '{"day": "2026-01-31"}' --url sqlite:///runs.db
spark run reports:graph --resume --url sqlite:///runs.db
spark run reports:graph --answer 'approve=true' --url sqlite:///runs.db""",
    "submit": """\
spark submit orders:build order-17 --input '{"amount": 80}' --url postgresql://db/orders""",
    "worker": """\
spark worker orders:build --url postgresql://db/orders
spark worker orders:build --concurrency 32 --grace 60
spark worker orders:build --once --url sqlite:///runs.db""",
    "runs": """\
spark runs --url sqlite:///runs.db
spark runs order- --status failed --status silent
spark runs --watch""",
    "answer": """\
spark answer order-17
spark answer order-17 'approve=true' 'reason="checked"'""",
    "send": """\
spark send order-17 paid '{"amount": 12.5}'
spark send order-17 paid --key payment-4711""",
    "drain": """\
spark drain order-17 --reason 'the machine is restarted'""",
    "show": """\
spark show order-17 --url sqlite:///runs.db""",
    "edit": """\
spark edit order-17 --set 'limit=100' --append 'notes="checked by hand"'
spark edit order-17 --as-node review --output '{"approved": true}'""",
    "fork": """\
spark fork ckpt_order-17_000004 --to order-17-again --set 'limit=100'""",
    "graph": """\
spark graph reports:graph --svg > reports.svg
spark graph reports:graph --mermaid""",
    "doctor": """\
spark doctor --url sqlite:///runs.db
spark doctor --repair --yes""",
    "plugins": """\
spark plugins
spark plugins sql""",
}
OF_CHECKPOINTS: Final = {
    "list": """\
spark checkpoints list --url sqlite:///runs.db
spark checkpoints list order-17 --limit 20 --newest-first""",
    "show": """\
spark checkpoints show ckpt_order-17_000004
spark checkpoints show ckpt_order-17_000004 --path 'graph_state.messages[-3:]'""",
    "diff": """\
spark checkpoints diff ckpt_order-17_000003 ckpt_order-17_000004""",
    "delete": """\
spark checkpoints delete ckpt_order-17_000003 ckpt_order-17_000004
spark checkpoints delete --graph order-17 --yes""",
    "prune": """\
spark checkpoints prune --keep 5 --dry-run
spark checkpoints prune order-17 --days 30 --yes""",
    "forget": """\
spark checkpoints forget order-17""",
    "verify": """\
spark checkpoints verify --import my_app""",
    "copy": """\
spark checkpoints copy --url sqlite:///runs.db --to file:///srv/checkpoints
spark checkpoints copy order-17 order-18 --to sqlite:///two.db""",
    "export": """\
spark checkpoints export runs.records --url sqlite:///runs.db""",
    "import": """\
spark checkpoints import runs.records --url file:///srv/checkpoints""",
}
