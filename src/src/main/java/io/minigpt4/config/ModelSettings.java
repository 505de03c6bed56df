package io.minigpt4.config;

import org.jspecify.annotations.Nullable;

/**
 * The {@code model} part of a MiniGPT-4 configuration, with the Python version's defaults. Texts
 * that are not given are empty.
 *
 * @param modelType the published variant's name; says nothing that the files do not say
 * @param imageSize side of the images in pixels; null for what the checkpoint was made for
 * @param numQueryToken learned queries of the Q-Former; null for what the checkpoint has
 * @param vitPrecision precision of the vision transformer on a GPU: fp16 or fp32
 * @param freezeVit whether training leaves the vision transformer alone
 * @param freezeQformer whether training leaves the Q-Former alone
 * @param llamaModel folder of the language model
 * @param qFormerModel path or address of the Q-Former's file
 * @param vitModel path of the vision transformer's file, or {@code eva_clip_g}
 * @param ckpt the trained projection
 * @param promptPath file with one training prompt a line
 * @param promptTemplate what a training prompt is put into, in place of <code>{}</code>
 * @param maxTxtLen tokens of a caption that training looks at
 * @param endSym text behind a caption
 * @param lowResource whether the language model is kept in 8 bit
 * @param device8bit number of the GPU that holds the 8-bit model
 */
public record ModelSettings(
    String modelType,
    @Nullable Integer imageSize,
    @Nullable Integer numQueryToken,
    String vitPrecision,
    boolean freezeVit,
    boolean freezeQformer,
    String llamaModel,
    String qFormerModel,
    String vitModel,
    String ckpt,
    String promptPath,
    String promptTemplate,
    int maxTxtLen,
    String endSym,
    boolean lowResource,
    int device8bit) {
  static ModelSettings of(ConfigNode node) {
    if (!node.text("arch", "mini_gpt4").equals("mini_gpt4")) {
      throw node.get("arch").unfit("'mini_gpt4': no other model is computed here");
    }
    String precision = node.text("vit_precision", "fp16");
    if (!precision.equals("fp16") && !precision.equals("fp32")) {
      throw node.get("vit_precision").unfit("'fp16' or 'fp32'");
    }
    return new ModelSettings(
        node.text("model_type", ""),
        optional(node, "image_size", 16384),
        optional(node, "num_query_token", 65536),
        precision,
        node.flag("freeze_vit", true),
        node.flag("freeze_qformer", true),
        node.text("llama_model", ""),
        node.text("q_former_model", PublishedFiles.QFORMER_ADDRESS),
        node.text("vit_model", PublishedFiles.EVA_CLIP_G),
        node.text("ckpt", ""),
        node.text("prompt_path", ""),
        node.text("prompt_template", ""),
        node.integer("max_txt_len", 32, 1, Limits.TOKENS),
        node.text("end_sym", "\n"),
        node.flag("low_resource", false),
        node.integer("device_8bit", 0, 0, 1024));
  }

  private static @Nullable Integer optional(ConfigNode node, String key, int max) {
    ConfigNode value = node.find(key);
    return value == null ? null : value.asInteger(1, max);
  }
}
