"""The address ``shared://...`` of a file system of Beam's, here over a folder.

It behaves as HDFS does where stores differ: nothing is renamed onto a file that is there.
"""

import os

from apache_beam.io.filesystem import BeamIOError, FileMetadata, MatchResult
from apache_beam.io.localfilesystem import LocalFileSystem

# Processes that a test starts find it there.
ROOT_VARIABLE = "TEST_SHARED_ROOT"


class SharedFileSystem(LocalFileSystem):
    """Beam finds it by its scheme as soon as the class exists."""

    @classmethod
    def scheme(cls):
        return "shared"

    @staticmethod
    def local(path):
        return path.replace("shared:/", os.environ[ROOT_VARIABLE])

    @staticmethod
    def address(path):
        return path.replace(os.environ[ROOT_VARIABLE], "shared:/")

    def join(self, basepath, *paths):
        return "/".join([basepath.rstrip("/"), *paths])

    def mkdirs(self, path):
        super().mkdirs(self.local(path))

    def create(self, path, *arguments, **options):
        return super().create(self.local(path), *arguments, **options)

    def open(self, path, *arguments, **options):
        return super().open(self.local(path), *arguments, **options)

    def exists(self, path):
        return os.path.exists(self.local(path))

    def match(self, patterns, limits=None):
        found = LocalFileSystem(None).match([self.local(pattern) for pattern in patterns], limits)
        return [
            MatchResult(
                self.address(one.pattern),
                [
                    FileMetadata(self.address(file.path), file.size_in_bytes)
                    for file in one.metadata_list
                ],
            )
            for one in found
        ]

    def rename(self, source_file_names, destination_file_names):
        for source, destination in zip(source_file_names, destination_file_names):
            if self.exists(destination):
                raise BeamIOError("Rename operation failed", {destination: "exists"})
            os.rename(self.local(source), self.local(destination))

    def delete(self, paths):
        LocalFileSystem(None).delete([self.local(path) for path in paths])
