"""What many people write first: FastAPI and sentence-transformers, a request a call. `plain FOLDER PORT`.

A plain `def` route, which FastAPI runs in its thread pool, so that the event loop goes on; torch on two threads.
"""

import base64
import sys

import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel
from sentence_transformers import SentenceTransformer


class Asked(BaseModel):
    """An OpenAI request."""

    input: str | list[str]


def main() -> None:
    model = SentenceTransformer(sys.argv[1], device="cpu", local_files_only=True)
    app = FastAPI()

    @app.post("/v1/embeddings")
    def embeddings(asked: Asked) -> dict[str, object]:
        texts = [asked.input] if isinstance(asked.input, str) else asked.input
        rows = model.encode(texts, normalize_embeddings=True, show_progress_bar=False)
        data = [
            {"object": "embedding", "index": i, "embedding": base64.b64encode(row.tobytes()).decode()}
            for i, row in enumerate(rows)
        ]
        return {"object": "list", "model": "m", "data": data}

    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[2]), log_level="error", access_log=False)


if __name__ == "__main__":
    main()
