#include "tools/cli/other_names.hpp"

namespace tools {

const std::vector<OtherName>& other_names() {
  static const std::vector<OtherName> rows{
      // Models and files.
      {"pretrained_teacher_model", "model", "diffusers' LCM scripts"},
      {"base_model_name", "model", "OneTrainer"},
      {"ckpt", "model", "AUTOMATIC1111"},
      {"lora_model_dir", "lora_dir", "stable-diffusion.cpp"},
      {"outdir", "output_dir", "CompVis' scripts"},
      {"resume", "resume_from_checkpoint", "kohya"},
      {"resume_from", "resume_from_checkpoint", "TRL's DDPO"},
      // Sampling.
      {"num_images_per_prompt", "count", "diffusers", "sampling_method"},
      {"n_iter", "count", "AUTOMATIC1111", "sampling_method"},
      {"sampler_name", "sampling_method", "AUTOMATIC1111"},
      // Training.
      {"lora_dim", "rank", "LyCORIS"},
      {"unet_lr", "learning_rate", "kohya"},
      {"train_learning_rate", "learning_rate", "TRL's DDPO"},
      {"learning_rate_scheduler", "lr_scheduler", "OneTrainer"},
      {"learning_rate_warmup_steps", "lr_warmup_steps", "OneTrainer"},
      {"train_adam_beta1", "adam_beta1", "TRL's DDPO"},
      {"train_adam_beta2", "adam_beta2", "TRL's DDPO"},
      {"train_adam_epsilon", "adam_epsilon", "TRL's DDPO"},
      {"train_adam_weight_decay", "adam_weight_decay", "TRL's DDPO"},
      {"train_max_grad_norm", "max_grad_norm", "TRL's DDPO"},
      {"epochs", "num_epochs", "OneTrainer"},
      {"max_train_epochs", "num_epochs", "kohya"},
      {"batch_size", "train_batch_size", "OneTrainer", "max_train_steps"},
      // Evaluation and checkpoints.
      {"sample_prompts", "validation_prompts", "kohya"},
      {"validation_steps", "eval_every", "diffusers", "max_train_steps"},
      {"sample_every_n_steps", "eval_every", "kohya", "max_train_steps"},
      {"sample_every_n_epochs", "eval_every", "kohya", "num_epochs"},
      {"save_every_n_steps", "checkpointing_steps", "kohya"},
      {"num_checkpoint_limit", "checkpoints_total_limit", "TRL's DDPO"},
      {"save_total_limit", "checkpoints_total_limit", "transformers"},
  };
  return rows;
}

const std::vector<Advice>& option_advice() {
  static const std::vector<Advice> rows{
      {"max_train_steps",
       "this method counts epochs, each of which draws images: give --num_epochs"},
      {"gradient_accumulation_steps",
       "omit it: an update takes all of its images, train_batch_size of them at a time"},
      {"train_gradient_accumulation_steps",
       "omit it: an update takes all of its images, train_batch_size of them at a time"},
      {"enable_xformers_memory_efficient_attention", "omit it: libtorch chooses the attention"},
      {"xformers", "omit it: libtorch chooses the attention"},
      {"sdpa", "omit it: libtorch chooses the attention"},
      {"push_to_hub", "omit it, and upload the run's folder as it is: hf upload NAME FOLDER"},
      {"hub_model_id", "omit it, and upload the run's folder as it is: hf upload NAME FOLDER"},
      {"logging_dir", "omit it: metrics and TensorBoard's events are in output_dir"},
      {"use_8bit_adam", "omit it: --shard_optimizer shares out the optimiser's memory"},
      {"train_text_encoder", "omit it: laurel trains the network alone"},
      {"network_train_unet_only", "omit it: laurel trains the network alone"},
      {"dataset_config", "omit it: name a folder of captioned images or a prompt file instead"},
  };
  return rows;
}

}  // namespace tools
