"""The state machine interpreter: moto's server, on loopback, with execution switched on.

Usage: engine.py PORT. Tasks go to the port that MOTO_PORT names. moto evaluates JSONata on a Java
machine that it does not ship; here a Python implementation does it.
"""

import json
import sys

import jsonata
from moto import server
from moto.core.config import default_user_config
from moto.stepfunctions.parser.asl.component.common.string import string_expression
from moto.stepfunctions.parser.asl.jsonata import jsonata as of_moto
from moto.stepfunctions.parser.asl.jsonata import validations


def evaluate(expression):
    try:
        result = jsonata.Jsonata(expression).evaluate(None)
        return json.loads(json.dumps(result, default=list))
    except Exception as error:
        raise of_moto.JSONataException("UNKNOWN", str(error)) from error


for module in (of_moto, validations, string_expression):
    module.eval_jsonata_expression = evaluate
default_user_config["stepfunctions"]["execute_state_machine"] = True
server.main(["--host", "127.0.0.1", "--port", sys.argv[1]])
