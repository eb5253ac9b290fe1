#!/usr/bin/env python3
"""The functions' roles allow what the code calls and nothing else.

    python deploy/roles.py        from the root of the repository; needs PyYAML, which cfn-lint brings

The calls of the SDK are read out of src/aws: every `client.<operation>()`. Each must be given to the functions that make it, below, and
every action a role allows must be one that its function makes. What goes through object_store, and what Lambda itself does under a
role, is written down here with its reason.
"""

import re
import sys
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[1]

# What each operation of the SDK needs, and which function makes it. `worker` has no role here: docs/AWS.md has its statement.
CALLS = {
    "get_secret_value": ("secretsmanager:GetSecretValue", ["convert", "build", "worker"]),
    # A stack's secret is in Secrets Manager; whoever keeps it in Systems Manager gives the roles this.
    "get_parameter": ("ssm:GetParameter", []),
    "receive_message": ("sqs:ReceiveMessage", ["worker"]),
    "delete_message": ("sqs:DeleteMessage", ["worker"]),
    "change_message_visibility": ("sqs:ChangeMessageVisibility", ["worker"]),
    "get_database": ("glue:GetDatabase", ["build"]),
    "create_database": ("glue:CreateDatabase", ["build"]),
    "get_tables": ("glue:GetTables", ["build"]),
    "get_table": ("glue:GetTable", ["build"]),
    "create_table": ("glue:CreateTable", ["build"]),
    "update_table": ("glue:UpdateTable", ["build"]),
    "describe_table": ("dynamodb:DescribeTable", ["build"]),
    "get_item": ("dynamodb:GetItem", ["build"]),
    "put_item": ("dynamodb:PutItem", ["build"]),
    "query": ("dynamodb:Query", ["build"]),
    "get_metric_data": ("cloudwatch:GetMetricData", ["build"]),
    # Run by hand, with the credentials of whoever may see to the buckets.
    "get_bucket_notification_configuration": ("s3:GetBucketNotification", []),
    "put_bucket_notification_configuration": ("s3:PutBucketNotification", []),
    "get_bucket_versioning": ("s3:GetBucketVersioning", []),
    "get_queue_attributes": ("sqs:GetQueueAttributes", ["worker"]),
    # Run by hand, with the credentials of whoever may read the keys.
    "get_api_keys": ("apigateway:GET", []),
}

# What object_store does for each function, by the place it does it in.
STORE = {
    "convert": {
        ("s3:GetObject", "landing"),  # the object of a notification
        ("s3:GetObjectVersion", "landing"),  # the version it names
        ("s3:GetObject", "lake/*"),  # the ledger, receipts, what the lake remembers
        ("s3:GetObject", "config/*"),
        ("s3:ListBucket", "bucket"),  # tables' logs; and 404 instead of 403
        ("s3:PutObject", "lake/staged/*"),
        ("s3:PutObject", "lake/receipts/*"),
        ("s3:PutObject", "lake/_meta/*"),
    },
    "build": {
        ("s3:GetObject", "landing"),  # a staged file that expired is made again
        ("s3:GetObjectVersion", "landing"),
        ("s3:ListBucket", "landing-bucket"),
        ("s3:ListBucket", "bucket"),
        ("s3:GetObject", "config/*"),
        ("s3:GetObject", "lake/*"),
        ("s3:PutObject", "lake/*"),
        ("s3:AbortMultipartUpload", "lake/*"),  # large files that were not finished
        ("s3:DeleteObject", "lake/receipts/*"),
        ("s3:DeleteObject", "lake/withdrawals/*"),
        ("s3:DeleteObject", "lake/staged/*"),
        ("s3:DeleteObject", "lake/tables/*"),  # the log's own clean-up, and the daily vacuum
    },
}

# What Lambda does under the role before and after the code runs.
LAMBDA = {
    "convert": {"sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes", "logs:CreateLogStream", "logs:PutLogEvents"},
    "build": {"logs:CreateLogStream", "logs:PutLogEvents"},
}

# Which resources an action of a service may be allowed on.
PLACES = {
    "secretsmanager": {"KeySecret"},
    "sqs": {"Queue.Arn"},
    "glue": {"catalog", "database/${Database}", "table/${Database}/*"},
    "dynamodb": {"Totals.Arn", "${Totals.Arn}/index/by_month"},
    "cloudwatch": {"*"},
    "logs": {"ConvertLog.Arn", "BuildLog.Arn"},
}


class Loader(yaml.SafeLoader):
    """CloudFormation's short forms as {name: value}."""


def short(loader, tag, node):
    kinds = {yaml.ScalarNode: loader.construct_scalar, yaml.SequenceNode: lambda n: loader.construct_sequence(n, deep=True)}
    return {tag: kinds.get(type(node), lambda n: loader.construct_mapping(n, deep=True))(node)}


Loader.add_multi_constructor("!", short)


def calls_of_the_code():
    found = {}
    for path in sorted((ROOT / "src/aws").glob("*.rs")):
        code = "\n".join(line.split("//")[0] for line in path.read_text().splitlines())
        for operation in re.findall(r"(?:\bclient|\bClient::new\(self\.config\(\)\))\s*\.\s*([a-z_0-9]+)\(\)", code):
            found.setdefault(operation, path.name)
    return found


def listed(value):
    return value if isinstance(value, list) else [value]


def place(resource):
    """A resource of a statement as the tables above call it."""
    if isinstance(resource, dict) and "If" in resource:
        names = {place(choice) for choice in resource["If"][1:]}
        return names.pop() if len(names) == 1 else f"one of {sorted(names)}"
    text = next(iter(resource.values())) if isinstance(resource, dict) else resource
    text = ".".join(text) if isinstance(text, list) else text
    if "${ExistingLandingBucket}" in text or "-landing-" in text:
        return "landing" if text.endswith("/*") else "landing-bucket"
    if text.startswith("${LakeBucket.Arn}/"):
        return text.removeprefix("${LakeBucket.Arn}/")
    if text == "LakeBucket.Arn":
        return "bucket"
    return text.rsplit(":", 1)[-1]


def allowed(role):
    """Pairs of action and place that a role's policies allow."""
    pairs = set()
    for policy in role["Properties"]["Policies"]:
        for statement in policy["PolicyDocument"]["Statement"]:
            assert statement["Effect"] == "Allow" and "NotAction" not in statement and "NotResource" not in statement, statement
            for action in listed(statement["Action"]):
                pairs |= {(action, place(resource)) for resource in listed(statement["Resource"])}
    return pairs


def main():
    wrong = []
    code = calls_of_the_code()
    wrong += [f"src/aws/{code[call]} calls `{call}`: say in CALLS which function does" for call in code.keys() - CALLS.keys()]
    wrong += [f"CALLS has `{call}`, and no code calls it" for call in CALLS.keys() - code.keys()]
    resources = yaml.load((ROOT / "deploy/template.yaml").read_text(), Loader)["Resources"]
    for function in ("convert", "build"):
        role = allowed(resources[f"{function.capitalize()}Role"])
        needed = {action for action, functions in CALLS.values() if function in functions} | LAMBDA[function]
        of_store = {pair for pair in role if pair[0].startswith("s3:")}
        of_services = role - of_store
        wrong += [f"{function}: the role allows {pair}, and nothing needs it" for pair in sorted(of_store - STORE[function])]
        wrong += [f"{function}: the role lacks {pair}" for pair in sorted(STORE[function] - of_store)]
        actions = {action for action, _ in of_services}
        wrong += [f"{function}: the role allows {action}, and nothing calls it" for action in sorted(actions - needed)]
        wrong += [f"{function}: the role lacks {action}" for action in sorted(needed - actions)]
        for action, where in sorted(of_services):
            if where not in PLACES.get(action.split(":")[0], set()):
                wrong.append(f"{function}: the role allows {action} on {where}")
    text = (ROOT / "docs/AWS.md").read_text()
    for action, functions in CALLS.values():
        if functions == ["worker"] and action not in text:
            wrong.append(f"docs/AWS.md does not give a worker {action}")
    if wrong:
        sys.exit("\n".join(wrong))
    print(f"{len(code)} calls, 2 roles: what is called is allowed, and nothing else")


if __name__ == "__main__":
    main()
