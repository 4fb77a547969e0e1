"""The routes, a file for each kind; every one has `router(...)`, which takes what it needs and gives an APIRouter."""
