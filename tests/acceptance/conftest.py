"""One pipeline serves the tests of this folder, each of which has a project of its own in it.

Three stages take longer to start than most of these tests take. Tests that stop a stage have a pipeline of their own.
"""

from collections.abc import AsyncIterator
from dataclasses import replace
from uuid import uuid4

import pytest
import pytest_asyncio

from infra.topics import SPANS
from tests.pipeline import Pipeline, make_key, running
from tests.services import copied_database, own_topic


@pytest_asyncio.fixture(scope="package", loop_scope="package")
async def shared_pipeline(
    kafka: str, postgres: str, template_database: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Pipeline]:
    """The pipeline that all projects share."""
    folder = tmp_path_factory.mktemp("pipeline")
    async with (
        own_topic(kafka) as topic,
        own_topic(kafka, like=SPANS) as spans_topic,
        copied_database(postgres, template_database) as dsn,
        running(kafka, dsn, topic, spans_topic, folder) as made,
    ):
        yield made


@pytest.fixture
async def pipeline(shared_pipeline: Pipeline) -> Pipeline:
    """The shared pipeline with the key of a project of this test alone."""
    return replace(shared_pipeline, key=await make_key(shared_pipeline.dsn, uuid4().hex))
