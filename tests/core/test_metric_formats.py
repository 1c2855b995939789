"""The lines that well-known programs print, each as the series it is of."""

import pytest

from services.core.series import Metric, SeriesParser

FORMATS: dict[str, tuple[str, str]] = {
    "lightgbm": (
        "[LightGBM] [Info] Total Bins 255\n"
        "[LightGBM] [Info] Number of data points in the train set: 455, number "
        "of used features: 30\n"
        "Training until validation scores don't improve for 10 rounds\n"
        "[10]\ttraining's binary_logloss: 0.3\tvalid_1's binary_logloss: 0.35\n"
        "[20]\ttraining's binary_logloss: 0.2\tvalid_1's binary_logloss: 0.25\n"
        "Early stopping, best iteration is:\n"
        "[18]\ttraining's binary_logloss: 0.21\tvalid_1's binary_logloss: 0.24\n",
        "training's_binary_logloss 0.3 step=10\n"
        "valid_1's_binary_logloss 0.35 step=10\n"
        "training's_binary_logloss 0.2 step=20\n"
        "valid_1's_binary_logloss 0.25 step=20\n"
        "training's_binary_logloss 0.21 step=18\n"
        "valid_1's_binary_logloss 0.24 step=18\n",
    ),
    "lgbcv": (
        "[10]\tcv_agg's binary_logloss: 0.31 + 0.0124\n[20]\tcv_agg's valid auc: 0.9812 + 0.0021\n",
        "cv_agg's_binary_logloss 0.31 step=10\ncv_agg's_valid_auc 0.9812 step=20\n",
    ),
    "xgbcv": (
        "[0]\ttrain-logloss:0.5+0.001\ttest-logloss:0.55+0.002\n"
        "[1]\ttrain-logloss:0.4+0.001\ttest-logloss:0.45+0.002\n"
        "[10:22:31] [0]\ttrain-rmse:1.5\n",
        "train-logloss 0.5 step=0\n"
        "test-logloss 0.55 step=0\n"
        "train-logloss 0.4 step=1\n"
        "test-logloss 0.45 step=1\n"
        "train-rmse 1.5 step=0\n",
    ),
    "keras2": (
        "Epoch 1/2\n"
        "47/47 - 1s - loss: 1.89 - accuracy: 0.43 - val_loss: 1.49 - val_accura"
        "cy: 0.71 - 1s/epoch - 21ms/step\n"
        "Epoch 2/2\n"
        "47/47 - 0s - 2ms/step - accuracy: 0.79 - loss: 1.05 - learning_rate: 1"
        ".0000e-03\n"
        "\n"
        "Epoch 2: val_loss improved from 1.49554 to 0.88230, saving model to be"
        "st.keras\n",
        "loss 1.89 epoch=1\n"
        "accuracy 0.43 epoch=1\n"
        "val_loss 1.49 epoch=1\n"
        "val_accuracy 0.71 epoch=1\n"
        "accuracy 0.79 epoch=2\n"
        "loss 1.05 epoch=2\n"
        "learning_rate 0.001 epoch=2\n",
    ),
    "keras2bar": (
        "Epoch 1/2\n"
        "\r"
        " 1/47 [..............................] - ETA: 12s - loss: 2.4\x08\x08\x08\r"
        "47/47 [==============================] - 1s 8ms/step - loss: 1.89 - ac"
        "curacy: 0.43 - val_loss: 1.49\n"
        "Epoch 2/2\n"
        "\r"
        " 1/47 [..............................] - ETA: 0s - loss: 1.4\r"
        "47/47 [==============================] - 0s 3ms/step - loss: 1.09 - ac"
        "curacy: 0.63 - val_loss: 1.09\n"
        "10/10 [==============================] - 0s 2ms/step - loss: 1.0 - acc"
        "uracy: 0.66\n",
        "loss 1.89 epoch=1\n"
        "accuracy 0.43 epoch=1\n"
        "val_loss 1.49 epoch=1\n"
        "loss 1.09 epoch=2\n"
        "accuracy 0.63 epoch=2\n"
        "val_loss 1.09 epoch=2\n"
        "loss 1\n"
        "accuracy 0.66\n",
    ),
    "tqdm loop": (
        "\r"
        "Epoch 1/3:   0%|          | 0/10 [00:00<?, ?it/s]\r"
        "Epoch 1/3: 100%|###| 10/10 [00:01<00:00, 9.1it/s, loss=1.5, acc=0.5]\n"
        "Train loss: 1.5 Val loss: 1.4\n"
        "\r"
        "Epoch 2/3: 100%|###| 10/10 [00:01<00:00, 9.1it/s, loss=1.2, acc=0.6]\n"
        "Train loss: 1.2 Val loss: 1.1\n",
        "Train_loss 1.5 epoch=1\n"
        "Val_loss 1.4 epoch=1\n"
        "loss 1.5 epoch=1\n"
        "acc 0.5 epoch=1\n"
        "Train_loss 1.2 epoch=2\n"
        "Val_loss 1.1 epoch=2\n"
        "loss 1.2 epoch=2\n"
        "acc 0.6 epoch=2\n",
    ),
    "tqdm desc": (
        "\rloss: 2.30:   1%|          | 1/100 [00:00<?, ?it/s]\rloss: 1.20: 100%|###| 100/100 [00:01<00:00, 9.1it/s]\n",
        "loss 1.2 step=100\n",
    ),
    "tqdm desc2": (
        "\r"
        "Epoch 0 | Loss 2.3041:  50%|#####     | 5/10 [00:00<00:00, 1.2s/it]\r"
        "Epoch 0 | Loss 1.3041: 100%|##########| 10/10 [00:00<00:00, 1.2s/it]\n"
        "\r"
        "Epoch 1 | Loss 0.3041: 100%|##########| 10/10 [00:00<00:00, 1.2s/it]\n",
        "Loss 1.3041 epoch=0\nLoss 0.3041 epoch=1\n",
    ),
    "tqdm epochs": (
        "\r"
        "Training:  50%|##   | 1/2 [00:01<00:01, 1.0s/epoch, train_loss=0.5, va"
        "l_loss=0.6]\r"
        "Training: 100%|####| 2/2 [00:02<00:00, 1.0s/epoch, train_loss=0.4, val"
        "_loss=0.5]\n",
        "train_loss 0.4 epoch=2\nval_loss 0.5 epoch=2\n",
    ),
    "nanogpt": (
        "tokens per iteration will be: 16,384\n"
        "number of parameters: 10.65M\n"
        "step 0: train loss 4.2874, val loss 4.2823\n"
        "iter 0: loss 4.2649, time 38520.40ms, mfu -100.00%\n"
        "iter 10: loss 3.1488, time 26.28ms, mfu 14.17%\n"
        "step 250: train loss 1.9655, val loss 2.0576\n"
        "saving checkpoint to out\n",
        "train_loss 4.2874 step=0\n"
        "val_loss 4.2823 step=0\n"
        "loss 4.2649 step=0\n"
        "mfu -100 step=0\n"
        "loss 3.1488 step=10\n"
        "mfu 14.17 step=10\n"
        "train_loss 1.9655 step=250\n"
        "val_loss 2.0576 step=250\n",
    ),
    "imagenet": (
        "Epoch: [0][   1/5005]\tTime  5.123 ( 5.123)\tData  3.1 ( 3.1)\tLoss 7.012"
        "3e+00 (7.0123e+00)\tAcc@1   0.00 (  0.00)\tAcc@5   0.39 (  0.39)\n"
        "Test: [ 0/196]\tTime  3.1 ( 3.1)\tLoss 4.2e+00 (4.2e+00)\tAcc@1  12.11 ( "
        "12.11)\tAcc@5  32.4 ( 32.4)\n"
        " *   Acc@1 13.456 Acc@5 33.1\n",
        "Loss 7.0123 step=1 epoch=0\n"
        "Loss_avg 7.0123 step=1 epoch=0\n"
        "Acc@1 0 step=1 epoch=0\n"
        "Acc@1_avg 0 step=1 epoch=0\n"
        "Acc@5 0.39 step=1 epoch=0\n"
        "Acc@5_avg 0.39 step=1 epoch=0\n"
        "test_Loss 4.2 step=0 epoch=0\n"
        "Loss_avg 4.2 step=0 epoch=0\n"
        "Acc@1 12.11 step=0 epoch=0\n"
        "Acc@1_avg 12.11 step=0 epoch=0\n"
        "Acc@5 32.4 step=0 epoch=0\n"
        "Acc@5_avg 32.4 step=0 epoch=0\n"
        "Acc@1 13.456 epoch=0\n"
        "Acc@5 33.1 epoch=0\n",
    ),
    "jsonl": (
        '{"epoch": 1, "train_loss": 0.5, "val": {"acc": 0.9, "f1": 0.8}, "time"'
        ': "2026-01-01"}\n'
        '{"ts": "2026-03-01T12:00:00", "level": "info", "event": "step", "step"'
        ': 10, "loss": 0.5}\n',
        "train_loss 0.5 epoch=1\nval/acc 0.9 epoch=1\nval/f1 0.8 epoch=1\nloss 0.5 step=10 epoch=1\n",
    ),
    "kv": (
        "step=100 loss=0.5 lr=1e-4 tok/s=12000\n"
        'ts=2026-03-01T12:00:00Z level=info msg="train step" step=100 loss=0.25'
        "\n"
        'time="2026" epoch=1 train/loss=0.5 val/acc=0.9\n',
        "loss 0.5 step=100\n"
        "lr 0.0001 step=100\n"
        "tok/s 12000 step=100\n"
        "loss 0.25 step=100\n"
        "train/loss 0.5 epoch=1\n"
        "val/acc 0.9 epoch=1\n",
    ),
    "logging": (
        "2026-03-01 12:00:00,123 - INFO - Epoch 1, Step 100: loss=0.5\n"
        "2026-03-01 12:00:00 [INFO] trainer: Epoch 1 finished. Train Loss: 0.50"
        ", Val Loss: 0.60\n"
        "INFO:root:epoch 2 train_loss 0.4 val_loss 0.5\n"
        "2026-03-01 12:00:00.123 | INFO     | __main__:train:45 - Epoch 3 | los"
        "s 0.3\n",
        "loss 0.5 step=100 epoch=1\n"
        "Train_Loss 0.5 epoch=1\n"
        "Val_Loss 0.6 epoch=1\n"
        "train_loss 0.4 epoch=2\n"
        "val_loss 0.5 epoch=2\n"
        "loss 0.3 epoch=3\n",
    ),
    "rank": (
        "[rank0]: step 5 loss: 1.5\n"
        "0: step 10 loss 0.5\n"
        "[1,0]<stdout>:step 10 loss 0.5\n"
        "(RayTrainWorker pid=123) epoch 1 loss 0.5\n"
        "[Rank 3] Epoch 1 | Batchsize: 32 | Steps: 10\n"
        "[GPU0] Epoch 1 | loss 0.4\n"
        "[default2]:step 10 loss: 0.3\n"
        "rank=1 step=3 loss=0.5\n",
        "loss 1.5 step=5 rank=0\n"
        "loss 0.5 step=10 rank=0\n"
        "loss 0.5 step=10 rank=0\n"
        "loss 0.5 epoch=1\n"
        "loss 0.4 epoch=1 rank=0\n"
        "loss 0.3 step=10 epoch=1 rank=2\n"
        "loss 0.5 step=3 epoch=1 rank=1\n",
    ),
    "detectron2": (
        "[01/01 10:00:00 d2.utils.events]: \x1b[32m eta: 0:10:00  iter: 19  total_"
        "loss: 1.234  loss_cls: 0.5  loss_box_reg: 0.3    time: 0.5  last_time:"
        " 0.5  data_time: 0.01  last_data_time: 0.01   lr: 0.0002  max_mem: 300"
        "0M\n",
        "total_loss 1.234 step=19\n"
        "loss_cls 0.5 step=19\n"
        "loss_box_reg 0.3 step=19\n"
        "time 0.5 step=19\n"
        "last_time 0.5 step=19\n"
        "data_time 0.01 step=19\n"
        "last_data_time 0.01 step=19\n"
        "lr 0.0002 step=19\n",
    ),
    "mmdet2": (
        "2021-01-01 10:00:00,000 - mmdet - INFO - Epoch [1][50/7330]\tlr: 1.978e"
        "-03, eta: 10:00:00, time: 0.5, data_time: 0.05, memory: 3800, loss_rpn"
        "_cls: 0.5, acc: 90.1, loss: 2.5\n"
        "2021-01-01 10:00:00,000 - mmdet - INFO - Epoch(val) [1][5000]\tbbox_mAP"
        ": 0.2, bbox_mAP_50: 0.35\n",
        "lr 0.001978 step=50 epoch=1\n"
        "time 0.5 step=50 epoch=1\n"
        "data_time 0.05 step=50 epoch=1\n"
        "memory 3800 step=50 epoch=1\n"
        "loss_rpn_cls 0.5 step=50 epoch=1\n"
        "acc 90.1 step=50 epoch=1\n"
        "loss 2.5 step=50 epoch=1\n"
        "bbox_mAP 0.2 epoch=1\n"
        "bbox_mAP_50 0.35 epoch=1\n",
    ),
    "mmengine iter": (
        "01/01 10:00:00 - mmengine - INFO - Iter(train) [   50/80000]  lr: 1e-2"
        "  eta: 10:00:00  time: 0.5  loss: 2.5  decode.loss_ce: 2.1  decode.acc"
        "_seg: 40.1\n",
        "lr 0.01 step=50\n"
        "time 0.5 step=50\n"
        "loss 2.5 step=50\n"
        "decode.loss_ce 2.1 step=50\n"
        "decode.acc_seg 40.1 step=50\n",
    ),
    "torchtitan": (
        "[titan] 2024-10-01 10:00:00,000 - root - INFO - step: 10  loss:  7.123"
        "4  grad_norm:  1.2  memory: 40.1GiB(50.2%)  tps: 7,000  tflops: 400.1 "
        " mfu: 40.5%\n",
        "loss 7.1234 step=10\ngrad_norm 1.2 step=10\ntps 7000 step=10\ntflops 400.1 step=10\nmfu 40.5 step=10\n",
    ),
    "torchtune": (
        "1|10|Loss: 1.5123: 100%|####| 10/10 [00:10<00:00, 1.0it/s]\n",
        "Loss 1.5123 step=10 epoch=1\n",
    ),
    "composer": (
        "[batch=1/100]:\n"
        "\t Train time/batch: 0\n"
        "\t Train loss/train/total: 2.30\n"
        "\t Train metrics/train/MulticlassAccuracy: 0.1\n"
        "[epoch=2][batch=10/50]: train/loss: 0.5\n",
        "Train_loss/train/total 2.3 step=1\n"
        "Train_metrics/train/MulticlassAccuracy 0.1 step=1\n"
        "train/loss 0.5 step=10 epoch=2\n",
    ),
    "skorch": (
        "  epoch    train_loss    valid_acc    valid_loss     dur\n"
        "-------  ------------  -----------  ------------  ------\n"
        "      1        \x1b[36m0.6868\x1b[0m       \x1b[32m0.6000\x1b[0m        \x1b[35m0.673"
        "5\x1b[0m  0.0451\n"
        "      2        0.6706       0.6000        0.6628  0.0120\n",
        "train_loss 0.6868 epoch=1\n"
        "valid_acc 0.6 epoch=1\n"
        "valid_loss 0.6735 epoch=1\n"
        "dur 0.0451 epoch=1\n"
        "train_loss 0.6706 epoch=2\n"
        "valid_acc 0.6 epoch=2\n"
        "valid_loss 0.6628 epoch=2\n"
        "dur 0.012 epoch=2\n",
    ),
    "spacy": (
        "============================= Training pipeline ======================"
        "=======\n"
        "E    #       LOSS TOK2VEC  LOSS NER  ENTS_F  ENTS_P  ENTS_R  SCORE \n"
        "---  ------  ------------  --------  ------  ------  ------  ------\n"
        "  0       0          0.00     45.21    0.00    0.00    0.00    0.00\n"
        "  1     200        120.12   1845.21   60.10   61.00   59.00    0.60\n",
        "E 0 step=0\n"
        "LOSS_TOK2VEC 0 step=0\n"
        "LOSS_NER 45.21 step=0\n"
        "ENTS_F 0 step=0\n"
        "ENTS_P 0 step=0\n"
        "ENTS_R 0 step=0\n"
        "SCORE 0 step=0\n"
        "E 1 step=200\n"
        "LOSS_TOK2VEC 120.12 step=200\n"
        "LOSS_NER 1845.21 step=200\n"
        "ENTS_F 60.1 step=200\n"
        "ENTS_P 61 step=200\n"
        "ENTS_R 59 step=200\n"
        "SCORE 0.6 step=200\n",
    ),
    "yolo": (
        "      Epoch    GPU_mem   box_loss   cls_loss   dfl_loss  Instances    "
        "   Size\n"
        "\r"
        "        1/3         0G      1.218      3.351      1.412         27    "
        "    640: 100%|##########| 4/4 [00:10<00:00,  2.5s/it]\n"
        "\r"
        "                 Class     Images  Instances      Box(P          R    "
        "  mAP50  mAP50-95): 100%|##########| 2/2 [00:01<00:00,  1.5it/s]\n"
        "                   all          4         17      0.621      0.833    "
        "  0.888       0.63\n",
        "box_loss 1.218 epoch=1\ncls_loss 3.351 epoch=1\ndfl_loss 1.412 epoch=1\n",
    ),
    "optuna": (
        "[I 2024-01-01 10:00:00,123] A new study created in memory with name: n"
        "o-name\n"
        "[I 2024-01-01 10:00:01,123] Trial 0 finished with value: 0.95 and para"
        "meters: {'lr': 0.001, 'n': 3}. Best is trial 0 with value: 0.95.\n"
        "[I 2024-01-01 10:00:01,123] Trial 1 pruned. \n"
        "[I 2024-01-01 10:00:01,123] Trial 2 finished with values: [0.9, 1.5] a"
        "nd parameters: {'x': 1}.\n",
        "value 0.95 trial=0\nvalue 0.9 trial=2\n",
    ),
    "ignite": (
        "Training Results - Epoch: 1  Avg accuracy: 0.95 Avg loss: 0.15\n"
        "Epoch[1] Iteration[10/100] Loss: 0.52\n"
        "ITERATION - loss: 0.50\n"
        "2021-01-01 10:00:00,000 ignite INFO: Epoch[1] Complete. Time taken: 00"
        ":00:10.123\n",
        "Avg_accuracy 0.95 epoch=1\nAvg_loss 0.15 epoch=1\nLoss 0.52 step=10 epoch=1\nloss 0.5 epoch=1\n",
    ),
    "sb3 dqn": (
        "----------------------------------\n"
        "| rollout/            |          |\n"
        "|    ep_len_mean      | 22       |\n"
        "|    exploration_rate | 0.9      |\n"
        "| time/               |          |\n"
        "|    episodes         | 4        |\n"
        "|    fps              | 1200     |\n"
        "|    total_timesteps  | 88       |\n"
        "----------------------------------\n"
        "Eval num_timesteps=500, episode_reward=9.20 +/- 0.75\n"
        "Episode length: 9.20 +/- 0.75\n",
        "rollout/ep_len_mean 22 step=88\n"
        "rollout/exploration_rate 0.9 step=88\n"
        "time/episodes 4 step=88\n"
        "time/fps 1200 step=88\n"
        "time/total_timesteps 88 step=88\n"
        "episode_reward 9.2 step=500\n",
    ),
    "spinningup": (
        "---------------------------------------\n"
        "|             Epoch |               0 |\n"
        "|      AverageEpRet |            21.5 |\n"
        "|            LossPi |        -0.00521 |\n"
        "|              Time |            1.23 |\n"
        "---------------------------------------\n",
        "AverageEpRet 21.5 epoch=0\nLossPi -0.00521 epoch=0\nTime 1.23 epoch=0\n",
    ),
    "hf rankdict": (
        "[rank0]: {'loss': 0.5, 'epoch': 1.0}{'loss': 0.4, 'epoch': 1.1}\n",
        "loss 0.5 epoch=1 rank=0\nloss 0.4 epoch=1.1\n",
    ),
    "hf legacy": (
        "{'loss': 2.3, 'learning_rate': 4.9e-05, 'epoch': 0.02}\n"
        "***** eval metrics *****\n"
        "  epoch                   =        3.0\n"
        "  eval_accuracy           =     0.8505\n"
        "  eval_loss               =     0.4123\n"
        "  eval_runtime            = 0:00:01.23\n",
        "loss 2.3 epoch=0.02\n"
        "learning_rate 4.9e-05 epoch=0.02\n"
        "eval_accuracy 0.8505 epoch=3\n"
        "eval_loss 0.4123 epoch=3\n",
    ),
    "cifar tut": (
        "[1,  2000] loss: 2.171\n"
        "[1,  4000] loss: 1.850\n"
        "Accuracy of the network on the 10000 test images: 54 %\n"
        "Accuracy for class: plane is 60.2 %\n",
        "loss 2.171 step=2000 epoch=1\nloss 1.85 step=4000 epoch=1\nAccuracy 54 epoch=1\n",
    ),
    "pt quickstart": (
        "Epoch 1\n"
        "-------------------------------\n"
        "loss: 2.303494  [   64/60000]\n"
        "loss: 2.294637  [ 6464/60000]\n"
        "Test Error: \n"
        " Accuracy: 44.7%, Avg loss: 2.158016 \n"
        "\n",
        "loss 2.30349 step=64 epoch=1\n"
        "loss 2.29464 step=6464 epoch=1\n"
        "Accuracy 44.7 epoch=1\n"
        "Avg_loss 2.15802 epoch=1\n",
    ),
    "transfer tut": (
        "Epoch 0/24\n"
        "----------\n"
        "train Loss: 0.5 Acc: 0.75\n"
        "val Loss: 0.2 Acc: 0.93\n"
        "\n"
        "Training complete in 1m 6s\n"
        "Best val Acc: 0.941176\n",
        "train_Loss 0.5 epoch=0\n"
        "train_Acc 0.75 epoch=0\n"
        "val_Loss 0.2 epoch=0\n"
        "val_Acc 0.93 epoch=0\n"
        "Best_val_Acc 0.941176\n",
    ),
    "word lm": (
        "| epoch   1 |   200/ 2983 batches | lr 20.00 | ms/batch 12.34 | loss  "
        "7.65 | ppl  2102.12\n"
        "----------------------------------------------------------------------"
        "-------------------\n"
        "| end of epoch   1 | time: 40.12s | valid loss  5.12 | valid ppl   167"
        ".10\n",
        "lr 20 step=200 epoch=1\n"
        "ms/batch 12.34 step=200 epoch=1\n"
        "loss 7.65 step=200 epoch=1\n"
        "ppl 2102.12 step=200 epoch=1\n"
        "valid_loss 5.12 epoch=1\n"
        "valid_ppl 167.1 epoch=1\n",
    ),
    "flair": (
        "2020-01-01 10:00:00,000 epoch 1 - iter 10/100 - loss 2.5 - time (sec):"
        " 1.2 - samples/sec: 100.1 - lr: 0.1\n"
        "2020-01-01 EPOCH 1 done: loss 0.5 - lr 0.1\n"
        "2020-01-01 10:00:00,000 DEV : loss 0.3 - f1-score (micro avg)  0.9\n",
        "loss 2.5 step=10 epoch=1\n"
        "time_(sec) 1.2 step=10 epoch=1\n"
        "samples/sec 100.1 step=10 epoch=1\n"
        "lr 0.1 step=10 epoch=1\n"
        "loss 0.5 epoch=1\n"
        "lr 0.1 epoch=1\n"
        "dev_loss 0.3 epoch=1\n",
    ),
    "mxnet": (
        "INFO:root:Epoch[0] Batch [100]\tSpeed: 1234.56 samples/sec\taccuracy=0.9"
        "\n"
        "INFO:root:Epoch[0] Train-accuracy=0.95\n"
        "INFO:root:Epoch[0] Validation-accuracy=0.97\n",
        "accuracy 0.9 step=100 epoch=0\nTrain-accuracy 0.95 epoch=0\nValidation-accuracy 0.97 epoch=0\n",
    ),
    "lightning rich": (
        "\x1b[2KEpoch 0/3  \x1b[35m━━━━━━━━━━━━━━━━━━━━\x1b[0m \x1b[37m44/44\x1b[0m \x1b[38;5;245"
        "m0:00:00 • 0:00:00\x1b[0m 150.2it/s v_num: 0.000 train_loss: 1.8 val_loss"
        ": 1.3\n"
        "\x1b[2KEpoch 1/3  ━━━━━━━━━━━━━━━━━━━━ 44/44 0:00:00 • 0:00:00 150.2it/s "
        "v_num: 0.000 train_loss: 0.8 val_loss: 0.9\n",
        "train_loss 1.8 epoch=0\nval_loss 1.3 epoch=0\ntrain_loss 0.8 epoch=1\nval_loss 0.9 epoch=1\n",
    ),
    "md table": (
        "| epoch | loss | acc |\n|------:|-----:|----:|\n| 1 | 0.5 | 90.1% |\n| 2 | 0.4 | 91.1% |\n",
        "loss 0.5 epoch=1\nacc 90.1 epoch=1\nloss 0.4 epoch=2\nacc 91.1 epoch=2\n",
    ),
    "pandas": (
        "   epoch  train_loss  val_loss\n0      1         0.5       0.6\n1      2         0.4       0.5\n",
        "train_loss 0.5 epoch=1\nval_loss 0.6 epoch=1\ntrain_loss 0.4 epoch=2\nval_loss 0.5 epoch=2\n",
    ),
    "comma": (
        "Epoch 1 - Verlust: 0,5\n",
        "Verlust 0.5 epoch=1\n",
    ),
    "loss tensor": (
        "epoch 1 loss: tensor(0.5123, device='cuda:0', grad_fn=<NllLossBackward0>)\n",
        "loss 0.5123 epoch=1\n",
    ),
    "nan": (
        "step 200 loss nan\nepoch 3: loss=inf\nloss: NaN\n",
        "loss nan step=200\nloss inf epoch=3\nloss nan epoch=3\n",
    ),
    "wandb": (
        "wandb: Run history:\nwandb:  loss ▁▂▃\nwandb: Run summary:\nwandb:  loss 0.5\n",
        "",
    ),
}


@pytest.mark.parametrize("name", FORMATS)
def test_a_programs_lines_give_its_series(name: str) -> None:
    log, wanted = FORMATS[name]
    parser = SeriesParser()
    assert "".join(map(_line, [*parser.feed(log.encode()), *parser.finish()])) == wanted


def _line(metric: Metric) -> str:
    places = [(key, getattr(metric, key)) for key in ("step", "epoch", "rank", "fold", "trial")]
    at = [f"{key}={value:g}" for key, value in places if value is not None]
    return " ".join([metric.name, f"{metric.value:g}", *at]) + "\n"
