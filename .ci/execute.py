"""Settings for storing the outputs of the notebooks; see README."""

# Settings of `jupyter nbconvert --config .ci/execute.py notebooks/*.ipynb`:
# execute every notebook on the offline corpus and store the outputs in place.
import os

os.environ["LECTURE_NOVEL"] = "story"  # stored outputs must be the same on every machine
os.environ["LECTURE_PROGRESS"] = ""  # nothing is solved in what is stored

c = get_config()  # noqa: F821 (given by traitlets)
c.NbConvertApp.export_format = "notebook"
c.NbConvertApp.use_output_suffix = False
c.FilesWriter.build_directory = ""
c.ExecutePreprocessor.enabled = True
c.ExecutePreprocessor.record_timing = False
c.ExecutePreprocessor.timeout = 600
# The state of widgets is not stored: it would add every picture of a live plot once more.
c.ClearMetadataPreprocessor.enabled = True
c.ClearMetadataPreprocessor.clear_cell_metadata = False
c.ClearMetadataPreprocessor.preserve_nb_metadata_mask = {
    "kernelspec",
    ("language_info", "name"),
    "rise",
}
# Words printed one by one are stored as one text.
c.NotebookExporter.preprocessors = ["nbconvert.preprocessors.CoalesceStreamsPreprocessor"]
