"""An OpenID provider, built with Authlib, that runs as a process of its own: PORT FOLDER.

It demands PKCE with S256 and a nonce. Whoever opens its authorisation page is logged in as the person of `person.json`
in the folder; `rotate` in the folder makes it sign with a new key. It prints its address when it answers.
"""

import json
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from authlib.integrations.flask_oauth2 import AuthorizationServer
from authlib.oauth2.rfc6749 import ClientMixin, grants
from authlib.oauth2.rfc7636 import CodeChallenge
from authlib.oidc.core import OpenIDCode
from flask import Flask, Response, jsonify, request
from joserfc.jwk import RSAKey

CLIENT, SECRET = "riskloop", "not-a-secret"


class OnlyClient(ClientMixin):  # type: ignore[misc]
    """riskloop, with one address to go back to."""

    def __init__(self, redirect: str) -> None:
        self.redirect = redirect

    def get_client_id(self) -> str:
        return CLIENT

    def get_default_redirect_uri(self) -> str:
        return self.redirect

    def get_allowed_scope(self, scope: str) -> str:
        return scope

    def check_redirect_uri(self, redirect_uri: str) -> bool:
        return redirect_uri == self.redirect

    def check_client_secret(self, client_secret: str) -> bool:
        return client_secret == SECRET

    def check_endpoint_auth_method(self, method: str, endpoint: str) -> bool:
        return method == "client_secret_basic"

    def check_response_type(self, response_type: str) -> bool:
        return response_type == "code"

    def check_grant_type(self, grant_type: str) -> bool:
        return grant_type == "authorization_code"


class Keyring:
    """The keys that were ever used, the last of them signs."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.keys = folder, [self._new()]

    @staticmethod
    def _new() -> RSAKey:
        return RSAKey.generate_key(2048, parameters={"use": "sig", "alg": "RS256"}, auto_kid=True)

    @property
    def signing(self) -> RSAKey:
        mark = self.folder / "rotate"
        if mark.exists():
            mark.unlink()
            self.keys.append(self._new())
        return self.keys[-1]


def made(issuer: str, folder: Path) -> Flask:  # noqa: C901 - one application
    """The provider's application."""
    app, codes, ring = Flask("provider"), {}, Keyring(folder)
    app.config["OAUTH2_TOKEN_EXPIRES_IN"] = {"authorization_code": 300}
    client = OnlyClient((folder / "redirect").read_text())
    server = AuthorizationServer(
        app, query_client=lambda name: client if name == CLIENT else None, save_token=lambda *_: None
    )

    class Code(grants.AuthorizationCodeGrant):  # type: ignore[misc]
        TOKEN_ENDPOINT_AUTH_METHODS = ("client_secret_basic",)

        def save_authorization_code(self, code: str, asked: Any) -> None:
            data = asked.payload.data
            codes[code] = SimpleNamespace(
                **{name: data.get(name) for name in ("nonce", "code_challenge", "code_challenge_method")},
                **{"user": asked.user, "get_redirect_uri": lambda: data.get("redirect_uri")},
                **{"get_scope": lambda: data.get("scope"), "get_nonce": lambda: data.get("nonce")},
                **{"get_auth_time": lambda: int(time.time()), "get_acr": lambda: None, "get_amr": lambda: None},
            )

        def query_authorization_code(self, code: str, _client: Any) -> Any:
            return codes.get(code)

        def delete_authorization_code(self, found: Any) -> None:
            for code in [code for code, kept in codes.items() if kept is found]:
                del codes[code]

        def authenticate_user(self, found: Any) -> Any:
            return found.user

    class Claims(OpenIDCode):  # type: ignore[misc]
        def exists_nonce(self, nonce: str, _asked: Any) -> bool:
            return any(kept.nonce == nonce for kept in codes.values())

        def get_jwt_config(self, _grant: Any, _client: Any = None) -> dict[str, Any]:
            key = ring.signing
            return {"key": key.as_dict(private=True), "alg": "RS256", "iss": issuer, "exp": 300, "kid": key.kid}

        def generate_user_info(self, user: dict[str, Any], _scope: str) -> dict[str, Any]:
            return user

    server.register_grant(Code, [CodeChallenge(required=True), Claims(require_nonce=True)])

    @app.get("/.well-known/openid-configuration")
    def configuration() -> Response:
        ends = {"authorization_endpoint": "authorize", "token_endpoint": "token", "jwks_uri": "jwks"}
        return jsonify(issuer=issuer, **{name: f"{issuer}/{path}" for name, path in ends.items()})

    @app.get("/jwks")
    def jwks() -> Response:
        return jsonify(keys=[key.as_dict(private=False) for key in ring.keys])

    @app.get("/authorize")
    def authorize() -> Any:
        if request.args.get("code_challenge_method") != "S256":
            return "S256 is demanded", 400
        return server.create_authorization_response(grant_user=json.loads((folder / "person.json").read_text()))

    @app.post("/token")
    def token() -> Any:
        return server.create_token_response()

    return app


if __name__ == "__main__":
    from werkzeug.serving import make_server

    port, place = int(sys.argv[1]), Path(sys.argv[2])
    served = make_server("127.0.0.1", port, made(f"http://127.0.0.1:{port}", place), threaded=True)
    print(f"http://127.0.0.1:{port}", flush=True)
    served.serve_forever()
