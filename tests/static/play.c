/* Plays a pipeline with factorseg linked into the program: no plugin file is looked for.
 *
 *   cargo cinstall -p gst-plugin-factorseg --release --library-type staticlib --prefix=/usr/local
 *   cc play.c -o play $(pkg-config --cflags --libs --static gstfactorseg)
 *   ./play
 */
#include <gst/gst.h>

GST_PLUGIN_STATIC_DECLARE (factorseg);

int
main (int argc, char **argv)
{
  gst_init (&argc, &argv);
  GST_PLUGIN_STATIC_REGISTER (factorseg);

  GError *error = NULL;
  GstElement *pipeline = gst_parse_launch ("videotestsrc num-buffers=5"
      " ! factorseg name=segment device=cpu ! fakesink", &error);
  if (!pipeline) {
    g_printerr ("%s\n", error->message);
    return 1;
  }
  gst_element_set_state (pipeline, GST_STATE_PLAYING);
  GstBus *bus = gst_element_get_bus (pipeline);
  GstMessage *message = gst_bus_timed_pop_filtered (bus, GST_CLOCK_TIME_NONE,
      GST_MESSAGE_EOS | GST_MESSAGE_ERROR);
  int status = GST_MESSAGE_TYPE (message) == GST_MESSAGE_EOS ? 0 : 1;

  GstElement *segment = gst_bin_get_by_name (GST_BIN (pipeline), "segment");
  GstStructure *stats = NULL;
  g_object_get (segment, "stats", &stats, NULL);
  gchar *text = gst_structure_to_string (stats);
  g_print ("%s\n", text);

  g_free (text);
  gst_structure_free (stats);
  gst_object_unref (segment);
  gst_message_unref (message);
  gst_object_unref (bus);
  gst_element_set_state (pipeline, GST_STATE_NULL);
  gst_object_unref (pipeline);
  return status;
}
